//! What an annotation's value must be.

#[derive(Clone, Copy)]
pub(super) enum Value {
    Anything,
    Interception,
    Port,
    Ports,
    PortsOrAll,
    Number,
    Networks,
    NetworksOrAll,
    Boolean,
    Quantity,
    Interfaces,
}

impl Value {
    /// What is wrong with a value (Istio: `AnnotationValidation`).
    pub fn wrong(self, value: &str) -> Option<String> {
        let port = |text: &str| text.trim().parse::<u16>().is_ok();
        let network = |text: &str| {
            let Some((address, length)) = text.split_once('/') else {
                return false;
            };
            let most = match address.parse::<std::net::IpAddr>() {
                Ok(address) if address.is_ipv4() => 32,
                Ok(_) => 128,
                Err(_) => return false,
            };
            length.parse::<u8>().is_ok_and(|length| length <= most)
        };
        let all = |fits: &dyn Fn(&str) -> bool| {
            let trimmed = value.trim();
            trimmed.is_empty() || trimmed.split(',').all(fits)
        };
        let (fits, wanted) = match self {
            Self::Anything => (true, ""),
            Self::Interception => (
                matches!(value, "REDIRECT" | "TPROXY" | "NONE"),
                "one of REDIRECT, TPROXY and NONE",
            ),
            Self::Port => (port(value), "a port"),
            Self::Ports => (all(&port), "a list of ports"),
            Self::PortsOrAll => (value == "*" || all(&port), "`*` or a list of ports"),
            Self::Number => (value.parse::<u32>().is_ok(), "a whole number"),
            Self::Networks => (all(&network), "a list of networks such as 10.0.0.0/8"),
            Self::NetworksOrAll => (
                value == "*" || all(&network),
                "`*` or a list of networks such as 10.0.0.0/8",
            ),
            Self::Boolean => (
                matches!(
                    value,
                    "1" | "t"
                        | "T"
                        | "true"
                        | "TRUE"
                        | "True"
                        | "0"
                        | "f"
                        | "F"
                        | "false"
                        | "FALSE"
                        | "False"
                ),
                "true or false",
            ),
            Self::Quantity => (is_quantity(value), "a quantity such as 100m or 128Mi"),
            Self::Interfaces => (
                all(&|name| {
                    let plain = |b: u8| b.is_ascii_graphic() && b != b'/';
                    !name.is_empty() && name.len() < 16 && name.bytes().all(plain)
                }),
                "a list of interfaces",
            ),
        };
        (!fits).then(|| format!("{wanted} is expected"))
    }
}

/// A quantity of Kubernetes: a number with an SI or binary suffix, or an exponent.
fn is_quantity(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    const SUFFIXES: &[&str] = &[
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let exponent = suffix.strip_prefix(['e', 'E']);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    digits > 0
        && number.matches('.').count() <= 1
        && (SUFFIXES.contains(&suffix)
            || exponent.is_some_and(|exponent| exponent.parse::<i32>().is_ok()))
}
