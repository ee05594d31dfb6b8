//! Whether what was fetched is what the trace asks for.

use super::{FetchCounts, RowCounts, StoreUse};

/// From this share of users or items on, a replay without their values is another workload than the trace's.
const MISSING_SHARE: f64 = 0.05;

/// Why fetches may not be believed; empty when they may. `uses` are those of all passes, and `fetches` all that was counted.
///
/// Failed requests, of a server that was filled again or emptied in the middle, are counted elsewhere.
pub(in crate::measure) fn reasons<'a>(
    uses: impl IntoIterator<Item = &'a StoreUse>,
    fetches: &FetchCounts,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut uses = uses.into_iter();
    if let Some(first) = uses.next()
        && uses.any(|other| other.rows_hash != first.rows_hash)
    {
        reasons.push(format!(
            "the store {} was filled with other rows between two passes; run it again while nobody fills it",
            first.place
        ));
    }
    for (whose, RowCounts { asked, missing }) in [("users", fetches.users), ("items", fetches.items)] {
        let share = missing as f64 / asked.max(1) as f64;
        if share > MISSING_SHARE {
            reasons.push(format!(
                "the store does not have {:.1} % of the rows of {whose} that were asked for, and up to {:.0} % is what a valid \
                 result may miss; fill it from the data of the trace with `store load`",
                100.0 * share,
                100.0 * MISSING_SHARE
            ));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::store::examples::summary;

    fn missing(users: u64, items: u64) -> Vec<String> {
        let rows = |missing| RowCounts { asked: 1000, missing };
        let pairs = RowCounts { asked: 1000, missing: 999 };
        let fetches = FetchCounts { users: rows(users), items: rows(items), pairs, ..FetchCounts::default() };
        reasons([&summary().usage, &summary().usage], &fetches)
    }

    #[test]
    fn missing_users_and_items_are_reasons_from_a_share_on_and_missing_pairs_are_none() {
        assert_eq!(missing(50, 50), [""; 0]);
        let found = missing(51, 1000);
        assert!(
            found[0].contains("5.1 % of the rows of users") && found[0].contains("store load"),
            "{found:?}"
        );
        assert!(found[1].contains("100.0 % of the rows of items"), "{found:?}");
    }

    #[test]
    fn other_rows_in_another_pass_are_a_reason() {
        let other = StoreUse { rows_hash: "cd".into(), ..summary().usage };
        let found = reasons([&summary().usage, &summary().usage, &other], &FetchCounts::default());
        assert!(found[0].contains("stores/first was filled with other rows between two passes"), "{found:?}");
    }
}
