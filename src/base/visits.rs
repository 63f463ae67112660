//! How many requests each sticky key made, as a table: so many requests, by so many keys.
//!
//! A sum of requests cannot tell one crawler from a thousand visitors; this can, and it is small
//! enough for every exhibit. Rows ascend and none is empty. Counts are exact below 128; larger ones
//! keep seven binary digits (0.8 %), so that however busy a service is, there are few rows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Binary digits kept of a large count.
const DIGITS: u32 = 7;

/// Rows of (requests, how many keys made so many).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
#[schemars(with = "Vec<(u64, u64)>")]
pub(crate) struct Visits(Vec<(u64, u64)>);

impl Visits {
    /// Requests and keys of each row, the fewest requests first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many different keys came.
    pub(crate) fn keys(&self) -> u64 {
        self.rows().fold(0, |sum, (_, keys)| sum.saturating_add(keys))
    }

    /// How many requests they made.
    pub(crate) fn requests(&self) -> u64 {
        let made = |(requests, keys): (u64, u64)| requests.saturating_mul(keys);
        self.rows().map(made).fold(0, u64::saturating_add)
    }

    /// The requests of the `rank`-th key (1-based), the one with the fewest first. Nothing when
    /// there are fewer keys.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<u64> {
        let mut seen = 0_u64;
        let reached = |(requests, keys)| {
            seen = seen.saturating_add(keys);
            (rank > 0 && seen >= rank).then_some(requests)
        };
        self.rows().find_map(reached)
    }
}

/// One count for each key; a key without a request did not come.
impl FromIterator<u64> for Visits {
    fn from_iter<I: IntoIterator<Item = u64>>(counts: I) -> Self {
        let mut rows = BTreeMap::new();
        for count in counts.into_iter().filter(|count| *count > 0) {
            *rows.entry(shortened(count)).or_insert(0) += 1;
        }
        Self(rows.into_iter().collect())
    }
}

impl TryFrom<Vec<(u64, u64)>> for Visits {
    type Error = String;

    fn try_from(rows: Vec<(u64, u64)>) -> Result<Self, String> {
        let empty = rows.iter().find(|(requests, keys)| *requests == 0 || *keys == 0);
        if let Some((requests, keys)) = empty {
            return Err(format!("{keys} keys with {requests} requests are no row"));
        }
        let falls = rows.windows(2).find(|pair| pair[1].0 <= pair[0].0);
        if let Some(pair) = falls {
            return Err(format!("{} requests do not ascend from {}", pair[1].0, pair[0].0));
        }
        Ok(Self(rows))
    }
}

impl From<Visits> for Vec<(u64, u64)> {
    fn from(visits: Visits) -> Self {
        visits.0
    }
}

/// The nearest number with few enough digits.
fn shortened(count: u64) -> u64 {
    let lost = (u64::BITS - count.leading_zeros()).saturating_sub(DIGITS);
    if lost == 0 {
        return count;
    }
    let half = 1_u64 << (lost - 1);
    count.saturating_add(half) >> lost << lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_how_often_they_came() {
        let visits: Visits = [3, 0, 1, 3, 127, 1_001].into_iter().collect();
        assert_eq!(serde_json::to_string(&visits).unwrap(), "[[1,1],[3,2],[127,1],[1000,1]]");
        assert_eq!((visits.keys(), visits.requests()), (5, 1_134));
        for (rank, requests) in
            [(0, None), (1, Some(1)), (2, Some(3)), (3, Some(3)), (5, Some(1_000)), (6, None)]
        {
            assert_eq!(visits.at_rank(rank), requests, "{rank}");
        }
    }

    #[test]
    fn rows_are_few_and_near_however_much_comes() {
        let visits: Visits = (0..100_000).collect();
        assert!(visits.rows().count() < 900, "{}", visits.rows().count());
        assert_eq!(visits.keys(), 99_999);
        for count in [1_u64, 127, 128, 129, 255, 65_537, 999_999_999, u64::MAX - 1] {
            let off = shortened(count).abs_diff(count);
            assert!(off <= count / 128, "{count} became {}", shortened(count));
        }
    }

    #[test]
    fn rows_that_cannot_be_are_refused() {
        for (text, why) in [
            ("[[1,0]]", "no row"),
            ("[[0,4]]", "no row"),
            ("[[2,1],[2,3]]", "do not ascend"),
            ("[[2,-1]]", "invalid value"),
        ] {
            let error = serde_json::from_str::<Visits>(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(serde_json::from_str::<Visits>("[]").unwrap(), Visits::default());
    }
}
