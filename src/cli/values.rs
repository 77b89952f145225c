//! Parsers of option values, with messages that say what is allowed.

use std::ops::RangeInclusive;

/// A whole number in a range.
pub(super) fn whole_number(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    let (least, most) = range.into_inner();
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// A seed: any number of 64 bits.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    whole_number(0..=u64::MAX)(text)
}

/// The name among `names` that a mistyped one is most like, if it is like any.
pub(super) fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const ALIKE: f64 = 0.7;
    let likeness = |known: &str| strsim::jaro_winkler(known, &name.to_lowercase());
    names
        .into_iter()
        .map(|known| (likeness(known), known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_are_refused_with_it() {
        let parse = whole_number(1..=9);
        assert_eq!(parse("9"), Ok(9));
        for text in ["0", "10", "-1", "1e0", "", "99999999999999999999"] {
            let message = parse(text).expect_err("refused");
            assert_eq!(message, "must be a whole number from 1 to 9", "{text}");
        }
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn nearest_name_is_offered_when_there_is_one() {
        let names = ["softmax", "weights"];
        assert_eq!(nearest("softmx", names), Some("softmax"));
        assert_eq!(nearest("zzz", names), None);
    }
}
