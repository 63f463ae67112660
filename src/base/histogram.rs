//! Latency histograms: the only home of `hdrhistogram`.
//!
//! One histogram holds 1 us to 60 s at three significant digits, and memory up to the longest value
//! it has met. A longer value is counted in the last bucket and also in [`Histogram::clamped`], so
//! that it is never silently lost.

use std::cell::RefCell;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Serialize};

/// Largest value told apart, in microseconds.
pub(crate) const VALUE_US_MAX: u64 = 60_000_000;

/// Largest value and digits of the small histogram that a simulation uses.
const COARSE: (u64, u8) = (1_000_000, 1);

/// Counts of latencies in microseconds. Merging is exact: bucket by bucket.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    inner: hdrhistogram::Histogram<u64>,
    clamped: u64,
}

/// What is wrong with a stored histogram.
#[derive(Debug, thiserror::Error)]
#[error("not a histogram in HdrHistogram V2 compressed form: {0}")]
pub(crate) struct HistogramError(String);

impl Default for Histogram {
    fn default() -> Self {
        let inner = hdrhistogram::Histogram::new(3).expect("three digits are valid");
        Self { inner, clamped: 0 }
    }
}

impl Histogram {
    /// Holds milliseconds up to a second at one digit: small enough for thousands of runs.
    #[cfg(test)]
    pub(crate) fn coarse() -> Self {
        let inner = hdrhistogram::Histogram::new_with_bounds(1_000, COARSE.0, COARSE.1)
            .expect("constant bounds are valid");
        Self { inner, clamped: 0 }
    }

    pub(crate) fn record(&mut self, value_us: u64) {
        self.record_many(value_us, 1);
    }

    pub(crate) fn record_many(&mut self, value_us: u64, count: u64) {
        if value_us > VALUE_US_MAX {
            self.clamped += count;
        }
        let value_us = value_us.clamp(1, VALUE_US_MAX);
        if self.inner.record_n(value_us, count).is_err() {
            // The small one of a simulation, which does not grow.
            self.inner.saturating_record_n(value_us, count);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.inner.add(&other.inner).expect("it grows, or both have the same bounds");
        self.clamped += other.clamped;
    }

    /// What was recorded after `earlier`, a copy of this histogram taken before. Where `earlier`
    /// holds more (the counters began anew), all of this one.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut later = self.inner.clone();
        if later.subtract(&earlier.inner).is_err() {
            return self.clone();
        }
        Self { inner: later, clamped: self.clamped.saturating_sub(earlier.clamped) }
    }

    pub(crate) fn count(&self) -> u64 {
        self.inner.len()
    }

    /// Values longer than [`VALUE_US_MAX`].
    pub(crate) fn clamped(&self) -> u64 {
        self.clamped
    }

    pub(crate) fn max_us(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.inner.max() }
    }

    /// The mean, rounded to whole microseconds.
    pub(crate) fn mean_us(&self) -> u64 {
        let total: u128 = self
            .inner
            .iter_recorded()
            .map(|v| {
                u128::from(self.inner.median_equivalent(v.value_iterated_to()))
                    * u128::from(v.count_at_value())
            })
            .sum();
        let count = u128::from(self.count());
        let mean = (total + count / 2).checked_div(count).unwrap_or(0);
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    /// The value below which `basis_points` of all values lie, highest in its bucket; 0 when empty.
    pub(crate) fn quantile_us(&self, basis_points: u32) -> u64 {
        let count = u128::from(self.count());
        let rank = (count * u128::from(basis_points)).div_ceil(10_000).max(1);
        self.edges_at_rank(u64::try_from(rank).unwrap_or(u64::MAX)).map_or(0, |(_, high)| high)
    }

    /// The lowest and highest value of the bucket that holds the `rank`-th smallest value
    /// (1-based). Nothing when there are fewer values.
    pub(crate) fn edges_at_rank(&self, rank: u64) -> Option<(u64, u64)> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        let mut seen = 0_u64;
        for bucket in self.inner.iter_recorded() {
            seen += bucket.count_at_value();
            if seen >= rank {
                let value = bucket.value_iterated_to();
                return Some((
                    self.inner.lowest_equivalent(value),
                    self.inner.highest_equivalent(value),
                ));
            }
        }
        None
    }

    /// How many values lie in buckets wholly above `limit_us`.
    pub(crate) fn count_above(&self, limit_us: u64) -> u64 {
        self.inner
            .iter_recorded()
            .filter(|b| self.inner.lowest_equivalent(b.value_iterated_to()) > limit_us)
            .map(|b| b.count_at_value())
            .sum()
    }

    /// (lowest value of the bucket, count), ascending.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.inner
            .iter_recorded()
            .map(|b| (self.inner.lowest_equivalent(b.value_iterated_to()), b.count_at_value()))
    }

    /// (highest value of the bucket, count), ascending.
    pub(crate) fn upper_buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.inner
            .iter_recorded()
            .map(|b| (self.inner.highest_equivalent(b.value_iterated_to()), b.count_at_value()))
    }

    /// HdrHistogram V2 with DEFLATE, in base64, as HdrHistogram's own tools read it.
    pub(crate) fn encode(&self) -> String {
        BASE64.encode(ENCODER.with_borrow_mut(|encoder| encoder.encode(&self.inner)))
    }

    pub(crate) fn decode(text: &str) -> Result<Self, HistogramError> {
        let bytes = BASE64.decode(text).map_err(|e| HistogramError(e.to_string()))?;
        let bytes = inflated(&bytes)?;
        let decoded: hdrhistogram::Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| HistogramError(e.to_string()))?;
        let bounds = (decoded.high(), decoded.sigfig());
        if bounds != (VALUE_US_MAX, 3) && !(cfg!(test) && bounds == COARSE) {
            return Err(HistogramError("other bounds or digits than 1 us to 60 s, 3".into()));
        }
        Ok(Self { inner: decoded, clamped: 0 })
    }
}

/// What is inside a compressed histogram, once it is known to be as long as it says: the library
/// reserves what a file asks for.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, HistogramError> {
    let refused = |why: &str| HistogramError(why.to_owned());
    let (head, packed) = bytes.split_at_checked(8).ok_or_else(|| refused("it is cut off"))?;
    if !head.starts_with(&COMPRESSED_COOKIE.to_be_bytes()) {
        return Err(refused("it does not begin like one"));
    }
    let mut plain = Vec::new();
    let mut reader = ZlibDecoder::new(packed).take(PLAIN_BYTES_MAX + 1);
    reader.read_to_end(&mut plain).map_err(|e| HistogramError(e.to_string()))?;
    let stated = plain.get(STATED_AT).and_then(|length| length.try_into().ok());
    let stated = stated.map(|length| u64::from(u32::from_be_bytes(length)));
    let counts = u64::try_from(plain.len()).unwrap_or(u64::MAX).saturating_sub(HEAD_BYTES);
    if stated != Some(counts) || counts > PLAIN_BYTES_MAX {
        return Err(refused("it is not as long as it says"));
    }
    Ok(plain)
}

/// Of HdrHistogram V2 without compression: its head, and where that states the length of the rest.
const HEAD_BYTES: u64 = 40;
const STATED_AT: std::ops::Range<usize> = 4..8;
/// 17,408 counts of at most nine bytes each, and the head.
const PLAIN_BYTES_MAX: u64 = 160_000;

/// What HdrHistogram V2 with DEFLATE begins with, before the length of what follows.
const COMPRESSED_COOKIE: u32 = 0x1c84_9314;

/// Where HdrHistogram V2 states the largest value told apart.
const HIGHEST_AT: std::ops::Range<usize> = 24..32;

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

/// Keeps its tables from one histogram to the next: to set them up costs more than to encode a
/// second's worth of latencies.
struct Encoder {
    plain: V2Serializer,
    bytes: Vec<u8>,
    deflate: Compress,
}

impl Encoder {
    fn new() -> Self {
        let deflate = Compress::new(Compression::default(), true);
        Self { plain: V2Serializer::new(), bytes: Vec::new(), deflate }
    }

    /// The cookie, the length of the rest, and the rest in zlib's wrapper, as
    /// `V2DeflateSerializer` of `hdrhistogram` writes them.
    fn encode(&mut self, histogram: &hdrhistogram::Histogram<u64>) -> Vec<u8> {
        self.bytes.clear();
        self.plain.serialize(histogram, &mut self.bytes).expect("writing to memory does not fail");
        if histogram.is_auto_resize() {
            // However far it has grown: the same counts are the same bytes.
            self.bytes[HIGHEST_AT].copy_from_slice(&VALUE_US_MAX.to_be_bytes());
        }
        let mut out = COMPRESSED_COOKIE.to_be_bytes().to_vec();
        out.extend([0; 4]);
        self.deflate.reset();
        loop {
            out.reserve(self.bytes.len() / 2 + 64);
            let taken = usize::try_from(self.deflate.total_in()).expect("as much as was given");
            let status =
                self.deflate.compress_vec(&self.bytes[taken..], &mut out, FlushCompress::Finish);
            if status.expect("memory does not fail") == Status::StreamEnd {
                break;
            }
        }
        let length = u32::try_from(out.len() - 8).expect("a histogram has kilobytes");
        out[4..8].copy_from_slice(&length.to_be_bytes());
        out
    }
}

/// A histogram inside JSON: the encoded buckets and what was clamped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct EncodedHistogram {
    /// HdrHistogram V2 compressed, base64.
    pub(crate) v2_deflate_base64: String,
    /// Values over 60 s, counted in the last bucket.
    #[serde(default)]
    pub(crate) clamped: u64,
}

impl From<&Histogram> for EncodedHistogram {
    fn from(histogram: &Histogram) -> Self {
        Self { v2_deflate_base64: histogram.encode(), clamped: histogram.clamped }
    }
}

impl TryFrom<&EncodedHistogram> for Histogram {
    type Error = HistogramError;
    fn try_from(encoded: &EncodedHistogram) -> Result<Self, HistogramError> {
        let mut histogram = Self::decode(&encoded.v2_deflate_base64)?;
        histogram.clamped = encoded.clamped;
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::V2DeflateSerializer;

    use super::*;

    #[test]
    fn ranks_merge_and_round_trip() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        (1..=500).for_each(|us| a.record(us));
        (501..=1_000).for_each(|us| b.record(us));
        a.merge(&b);
        assert_eq!((a.count(), a.quantile_us(5_000), a.quantile_us(9_500)), (1_000, 500, 950));
        assert_eq!(a.edges_at_rank(1), Some((1, 1)));
        assert_eq!(a.edges_at_rank(1_001), None);
        assert_eq!(a.count_above(900), 100);
        let mut back = Histogram::decode(&a.encode()).unwrap();
        assert!(back.buckets().eq(a.buckets()));
        let mut slow = Histogram::default();
        slow.record(7_000_000);
        for (own, other) in [(&mut a, &slow), (&mut back, &slow), (&mut slow.clone(), &b)] {
            let before = own.count();
            own.merge(other);
            assert_eq!((own.count(), own.max_us() / 1_000), (before + other.count(), 7_000));
        }
        assert!(Histogram::decode("zzzz").is_err());
    }

    #[test]
    fn a_histogram_that_asks_for_more_memory_than_it_has_counts_is_refused() {
        let mut histogram = Histogram::default();
        histogram.record(5);
        let mut plain = Vec::new();
        V2Serializer::new().serialize(&histogram.inner, &mut plain).unwrap();
        let packed = |plain: &[u8]| {
            let mut bytes = COMPRESSED_COOKIE.to_be_bytes().to_vec();
            bytes.extend([0; 4]);
            let mut writer = flate2::write::ZlibEncoder::new(bytes, Compression::fast());
            std::io::Write::write_all(&mut writer, plain).unwrap();
            BASE64.encode(writer.finish().unwrap())
        };
        plain[HIGHEST_AT].copy_from_slice(&VALUE_US_MAX.to_be_bytes());
        assert_eq!(Histogram::decode(&packed(&plain)).unwrap().count(), 1);
        for (stated, rest) in [(u32::MAX, 0), (0, 0), (1 << 20, 1 << 20)] {
            let mut other = plain.clone();
            other[STATED_AT].copy_from_slice(&stated.to_be_bytes());
            other.resize(other.len() + rest, 0);
            assert!(Histogram::decode(&packed(&other)).is_err(), "{stated}");
        }
    }

    /// One encoder for all histograms of a thread writes the bytes that the library writes of one
    /// that held the whole range from the start.
    #[test]
    fn an_encoder_used_again_writes_what_the_library_writes() {
        let mut random = 7_u64;
        for size in [0_u32, 1, 30, 5_000, 2, 60_000] {
            let mut histogram = Histogram::default();
            let mut whole =
                hdrhistogram::Histogram::<u64>::new_with_bounds(1, VALUE_US_MAX, 3).unwrap();
            for _ in 0..size {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                histogram.record(random >> 38);
                whole.saturating_record((random >> 38).clamp(1, VALUE_US_MAX));
            }
            let mut theirs = Vec::new();
            let mut library = V2DeflateSerializer::new();
            library.serialize(&whole, &mut theirs).unwrap();
            assert_eq!(histogram.encode(), BASE64.encode(theirs), "{size} values");
        }
    }

    #[test]
    fn the_difference_of_two_copies_is_what_came_between() {
        let mut histogram = Histogram::default();
        histogram.record(100);
        let earlier = histogram.clone();
        histogram.record_many(200, 3);
        let between = histogram.since(&earlier);
        assert_eq!((between.count(), between.quantile_us(5_000)), (3, 200));
        assert_eq!(earlier.since(&histogram).count(), 1, "a restart: the later one alone");
    }

    #[test]
    fn a_value_beyond_the_range_is_counted_and_said() {
        let mut histogram = Histogram::default();
        histogram.record(90_000_000);
        histogram.record(0);
        assert_eq!((histogram.count(), histogram.clamped()), (2, 1));
        assert_eq!(Histogram::default().quantile_us(9_900), 0);
    }
}
