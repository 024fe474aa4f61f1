//! "Did you mean": the known name nearest to one that is not known.

/// The candidate nearest to `name`, if one is near enough to be a slip: the same in other letter
/// case, or about one edit for every three characters.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_ascii_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &candidate.to_ascii_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["hosts", "gateways", "http", "tls", "tcp", "exportTo"];
        assert_eq!(nearest("host", names), Some("hosts"));
        assert_eq!(nearest("gatewyas", names), Some("gateways"));
        assert_eq!(nearest("exportto", names), Some("exportTo"));
        assert_eq!(nearest("weight", names), None);
        assert_eq!(nearest("", names), None);
    }
}
