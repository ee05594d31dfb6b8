//! A plan as text.

use super::{Input, OutState, Plan, Room, Seconds, Step, Unit};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            OutState::New => "which is not there yet",
            OutState::Exists => "which is there already",
            OutState::Resumed => "which an earlier start has begun",
            OutState::Finished => "which is finished: it would be given at once",
        };
        match &self.out {
            Some(out) => writeln!(
                f,
                "{} would write {}, {state}; nothing was written now\n",
                self.verb,
                out.display()
            )?,
            None => writeln!(f, "{} would write no file\n", self.verb)?,
        }
        for Input { what, path, found } in &self.read {
            writeln!(f, "read     {what} {}: {found}", path.display())?;
        }
        writeln!(f)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "do       {step}"))?;
        writeln!(f, "\ntime     {}", self.time_text())?;
        self.time.basis.iter().try_for_each(|basis| writeln!(f, "         {basis}"))?;
        writeln!(f, "disk     {}", room(&self.disk))?;
        writeln!(f, "memory   {}", room(&self.memory))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note     {note}"))
    }
}

impl Plan {
    fn time_text(&self) -> String {
        let time = &self.time;
        let known = Seconds { least_s: time.least_s, most_s: time.most_s };
        match time.without.as_slice() {
            [] if self.steps.is_empty() => "none".to_owned(),
            [] => known.to_string(),
            without if time.least_s == 0.0 => {
                format!("unknown, for these take as long as they take: {}", without.join("; "))
            }
            without => format!("{known}, and what takes as long as it takes: {}", without.join("; ")),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = span(self.least_s);
        let at_once = self.least_s < SHORTEST_S;
        match self.most_s.map(span) {
            None if at_once => f.write_str("a moment or more"),
            None => write!(f, "at least {least}"),
            Some(most) if most == least && at_once => f.write_str(&most),
            Some(most) if most == least => write!(f, "about {least}"),
            Some(most) if at_once => write!(f, "up to {most}"),
            Some(most) => write!(f, "{least} to {most}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many) = match self.unit {
            Unit::Training => ("training", "trainings"),
            Unit::Model => ("model", "models"),
            Unit::Proof => ("package", "packages"),
            Unit::Replay => ("pass", "passes"),
            Unit::Visit => ("visit", "visits"),
            Unit::Row => ("row", "rows"),
            Unit::System => ("system", "systems"),
        };
        let count = match self.most {
            Some(most) if most == self.least => most.to_string(),
            Some(most) => format!("{} to {most}", self.least),
            None => format!("{} or more", self.least),
        };
        let unit = if self.most == Some(1) { one } else { many };
        write!(f, "{}: {count} {unit}", self.step)?;
        if let Some(epochs) = self.epochs {
            let (most, plural) = if epochs == 1 { ("", "") } else { ("at most ", "s") };
            write!(f, ", {most}{epochs} epoch{plural}")?;
        }
        if let Some(rows) = self.rows {
            write!(f, " of {rows} {}", if self.unit == Unit::Replay { "requests" } else { "rows" })?;
        }
        if self.done > 0 {
            write!(f, ", {} done before", self.done)?;
        }
        match &self.seconds {
            Some(seconds) if self.is_open() => write!(f, " ({seconds})"),
            _ => Ok(()),
        }
    }
}

fn room(room: &Room) -> String {
    let free = room.free_bytes.map_or(String::new(), |free| format!(" of {} free", bytes(free)));
    let least = match room.least_bytes {
        0 => "little".to_owned(),
        least => format!("at least {}", bytes(least)),
    };
    format!("{least}{free}: {}", room.basis)
}

/// Bytes in words.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        few if few < 1e6 => format!("{:.0} kB", (few / 1e3).ceil()),
        some if some < 1e9 => format!("{:.1} MB", some / 1e6),
        many => format!("{:.1} GB", many / 1e9),
    }
}

/// What is shorter is not told in numbers.
const SHORTEST_S: f64 = 0.1;

/// A time in the two largest of its units, such as `45 s` or `3 min 20 s`.
pub(in crate::app) fn span(seconds: f64) -> String {
    if seconds < SHORTEST_S {
        return format!("under {SHORTEST_S} s");
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
