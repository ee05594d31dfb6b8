//! The user's own ranking model as the teacher: r(x) of raw rows, before this program's encoders touch them. It was trained
//! elsewhere and takes the values of the columns as they stand in the data.

use super::engine::{ForeignInput, ForeignModel, ForeignValues, NumberType};
use crate::{
    base::{Error, Result, error::Place, keys},
    data::{
        encode::{distinct::MISSING, feature::categories},
        table::RawTable,
    },
    export::check,
    learn::settings::{InputColumns, ScoreForm},
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// Rows of a run, where the model takes any number.
const BATCH: usize = 4096;

/// A model with the columns that feed it.
pub struct RankingModel {
    path: PathBuf,
    model: ForeignModel,
    /// In the model's own order.
    feeds: Vec<Feed>,
    output: String,
    form: ScoreForm,
    /// Rows of a run, where the model takes that many only.
    batch: Option<usize>,
}

/// Where the values of one input come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Feed {
    columns: Vec<String>,
    numbers: NumberType,
    /// One value per row without an axis of columns.
    flat: bool,
}

impl RankingModel {
    /// Checks the file, loads it, and finds that every input has its columns. `output` may be left out of a model that has
    /// one.
    pub fn load(
        path: &Path,
        mapping: &[InputColumns],
        output: Option<&str>,
        form: ScoreForm,
    ) -> Result<Self> {
        check::read(path, &check::Limits::STANDARD)?;
        let model = ForeignModel::load(path)?;
        let wrong = |problem: String, fix: String| Error::input(path, Place::whole(), problem, fix);
        let names: Vec<&str> = model.inputs().iter().map(|input| input.name.as_str()).collect();
        if let Some(unknown) = mapping.iter().find(|given| !names.contains(&given.name.as_str())) {
            let problem = format!("the model has no input `{}`", unknown.name);
            return Err(wrong(problem, keys::suggestion(&unknown.name, &names)));
        }
        let mut batch = None;
        let mut feeds = Vec::with_capacity(names.len());
        for input in model.inputs() {
            let feed = feed(input, mapping).map_err(|(problem, fix)| wrong(problem, fix))?;
            if let Some(Some(rows)) = input.dims.first() {
                if *rows == 0 || batch.is_some_and(|batch| batch != *rows) {
                    let problem =
                        format!("the inputs take different numbers of rows, `{}` {rows}", input.name);
                    return Err(wrong(problem, "export the model with a free first axis".to_owned()));
                }
                batch = Some(*rows);
            }
            feeds.push(feed);
        }
        let outputs = model.outputs();
        let output = match (output, &outputs[..]) {
            (Some(name), names) if names.contains(&name) => name.to_owned(),
            (Some(name), names) => {
                let fix = keys::suggestion(name, names);
                return Err(wrong(format!("the model has no output `{name}`"), fix));
            }
            (None, [only]) => (*only).to_owned(),
            (None, names) => {
                let problem = format!("the model has the outputs {}", names.join(", "));
                let fix = "name the one with the scores as `output` in [teacher]";
                return Err(wrong(problem, fix.to_owned()));
            }
        };
        Ok(Self { path: path.to_owned(), model, feeds, output, form, batch })
    }

    /// The columns that it reads, each once.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for column in self.feeds.iter().flat_map(|feed| &feed.columns) {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        columns
    }

    /// r(x) of every row: a probability.
    pub fn scores(&mut self, table: &RawTable) -> Result<Vec<f32>> {
        let columns =
            self.feeds.iter().map(|feed| feed.values(table)).collect::<Result<Vec<Vec<ForeignValues>>>>()?;
        let mut scores = Vec::with_capacity(table.rows());
        let step = self.batch.unwrap_or(BATCH);
        for begin in (0..table.rows()).step_by(step) {
            let rows = begin..table.rows().min(begin + step);
            // A model that takes so many rows only is given the last one again and again.
            let wanted = self.batch.unwrap_or(rows.len());
            let row = |place: usize| (rows.start + place).min(rows.end - 1);
            let inputs = self.feeds.iter().zip(&columns).map(|(feed, columns)| {
                let shape = if feed.flat { vec![wanted] } else { vec![wanted, columns.len()] };
                (shape, interleaved(columns, (0..wanted).map(row)))
            });
            let (shape, values) = self.model.run(inputs.collect(), &self.output)?;
            let given = self.read(&shape, &values, wanted)?;
            for (place, &score) in given[..rows.len()].iter().enumerate() {
                let score = match self.form {
                    ScoreForm::Probability => score,
                    ScoreForm::Logit => 1.0 / (1.0 + (-score).exp()),
                };
                if !(0.0..=1.0).contains(&score) {
                    let (model, output) = (self.path.display(), &self.output);
                    let problem = format!("{model} gives it the score {score} as `{output}`");
                    let fix = "a score is between 0 and 1; `score = \"logit\"` in [teacher] takes the number before the sigmoid";
                    return Err(table.row_error(begin + place, problem, fix));
                }
                scores.push(score);
            }
        }
        Ok(scores)
    }

    /// One score per row; of two classes the second is the click.
    fn read(&self, shape: &[i64], values: &[f32], rows: usize) -> Result<Vec<f32>> {
        let of_rows = shape.first() == Some(&(rows as i64));
        match values.len().checked_div(rows) {
            Some(1) if of_rows && values.len() == rows => Ok(values.to_vec()),
            Some(2) if of_rows && values.len() == 2 * rows => {
                Ok(values.chunks_exact(2).map(|classes| classes[1]).collect())
            }
            _ => {
                let problem = format!("the output has the shape {shape:?} for {rows} rows");
                let fix =
                    "name an output with one score per row, or with two classes, as `output` in [teacher]";
                Err(Error::input(&self.path, Place::field(&self.output), problem, fix))
            }
        }
    }
}

/// The feed of an input, or the problem and its fix.
fn feed(input: &ForeignInput, mapping: &[InputColumns]) -> Result<Feed, (String, String)> {
    let name = &input.name;
    let Some(given) = mapping.iter().find(|given| given.name == *name) else {
        let fix = format!("add `[[teacher.inputs]]` with `name = \"{name}\"` and its `columns`");
        return Err((format!("nothing is said of its input `{name}`"), fix));
    };
    let Some(numbers) = input.numbers else {
        let fix = "export a model whose inputs are float, double, int32 or int64".to_owned();
        return Err((format!("the input `{name}` takes no numbers"), fix));
    };
    let columns = given.columns.clone();
    let fits = match input.dims[..] {
        [_] => columns.len() == 1,
        [_, any_or_some] => any_or_some.is_none_or(|some| some == columns.len()),
        _ => false,
    };
    if !fits || columns.is_empty() {
        let problem = format!(
            "the input `{name}` has the shape {}, and {} columns are named for it",
            shown(&input.dims),
            columns.len()
        );
        return Err((problem, "name as many columns as it takes; it has one axis or two".to_owned()));
    }
    Ok(Feed { columns, numbers, flat: input.dims.len() == 1 })
}

/// Sizes with `?` for any.
fn shown(dims: &[Option<usize>]) -> String {
    let sizes = dims.iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string()));
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

impl Feed {
    /// Every column with the numbers of all rows.
    fn values(&self, table: &RawTable) -> Result<Vec<ForeignValues>> {
        let column = |column: &String| {
            Ok(match self.numbers {
                NumberType::F32 => ForeignValues::F32(numbers(table, column, Some(f32::NAN))?),
                NumberType::F64 => ForeignValues::F64(numbers(table, column, Some(f64::NAN))?),
                NumberType::I32 => ForeignValues::I32(numbers(table, column, None)?),
                NumberType::I64 => ForeignValues::I64(numbers(table, column, None)?),
            })
        };
        self.columns.iter().map(column).collect()
    }
}

/// A column as numbers of one type, with `missing` where nothing stands.
fn numbers<T: FromStr + Copy>(table: &RawTable, column: &str, missing: Option<T>) -> Result<Vec<T>> {
    let distinct = categories(table, column)?;
    let parsed: Vec<Option<T>> = distinct.texts.iter().map(|text| text.parse().ok()).collect();
    let number = |(row, &code): (usize, &u32)| {
        let (found, problem) = match code {
            MISSING => (missing, "the value is missing, and the teacher takes whole numbers here".to_owned()),
            code => {
                let text = &distinct.texts[code as usize];
                (
                    parsed[code as usize],
                    format!("`{text}` is no number of the type that the teacher takes here"),
                )
            }
        };
        found.ok_or_else(|| {
            table.cell_error(column, row, problem, "correct the value, or name another column for this input")
        })
    };
    distinct.codes.iter().enumerate().map(number).collect()
}

/// Columns as rows, those of `rows`.
fn interleaved(columns: &[ForeignValues], rows: impl Iterator<Item = usize> + Clone) -> ForeignValues {
    macro_rules! rows_of {
        ($kind:ident) => {{
            let columns: Vec<_> = (columns.iter())
                .filter_map(|column| match column {
                    ForeignValues::$kind(values) => Some(values),
                    _ => None,
                })
                .collect();
            ForeignValues::$kind(rows.flat_map(|row| columns.iter().map(move |column| column[row])).collect())
        }};
    }
    match columns.first() {
        Some(ForeignValues::F64(_)) => rows_of!(F64),
        Some(ForeignValues::I32(_)) => rows_of!(I32),
        Some(ForeignValues::I64(_)) => rows_of!(I64),
        Some(ForeignValues::F32(_)) | None => rows_of!(F32),
    }
}
