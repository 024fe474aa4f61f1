//! Access log formats: text with `%OPERATORS%`, and JSON of such texts (Envoy: substitution
//! formatter).

use crate::model::{
    AddressPart, HeaderName, LogFormat, LogJson, LogOperator, LogPiece, LogTemplate, TlsFact,
};

/// Istio's text format (reference: Istio §3.3).
const ISTIO_TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% \
    %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
    %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% \
    %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
    \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" \
    %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% \
    %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's JSON format, in its order.
const ISTIO_JSON: &[(&str, &str)] = &[
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    (
        "upstream_service_time",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    ),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
];

/// A format, and what in it is not known here.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Operators that print `-`.
    pub(crate) unknown: Vec<String>,
}

/// Istio's format where nothing else is said.
pub fn istio_format(json: bool) -> LogFormat {
    let mut notes = Notes::default();
    let mut parse = |text| template(text, &mut notes).expect("Istio's own format is right");
    if json {
        let keys = ISTIO_JSON.iter();
        LogFormat::Json(LogJson::Object(
            keys.map(|(key, text)| ((*key).to_owned(), LogJson::Text(parse(text))))
                .collect(),
        ))
    } else {
        LogFormat::Text(parse(ISTIO_TEXT))
    }
}

/// A text format; a line feed is added where there is none (Istio: `fileAccessLogFormat`).
pub(crate) fn text(format: &str, notes: &mut Notes) -> Result<LogFormat, String> {
    let ended = if format.ends_with('\n') {
        format.to_owned()
    } else {
        format!("{format}\n")
    };
    template(&ended, notes).map(LogFormat::Text)
}

/// A JSON format.
pub(crate) fn json(format: &serde_json::Value, notes: &mut Notes) -> Result<LogFormat, String> {
    match format {
        serde_json::Value::Object(_) => labels(format, notes, 0).map(LogFormat::Json),
        _ => Err("it is no JSON object".to_owned()),
    }
}

fn labels(value: &serde_json::Value, notes: &mut Notes, depth: usize) -> Result<LogJson, String> {
    if depth > 16 {
        return Err("it is nested deeper than 16".to_owned());
    }
    Ok(match value {
        serde_json::Value::Object(entries) => {
            let mut object = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                object.push((key.clone(), labels(value, notes, depth + 1)?));
            }
            object.sort_by(|(a, _), (b, _)| a.cmp(b));
            LogJson::Object(object)
        }
        serde_json::Value::Array(items) => {
            let items = items.iter().map(|item| labels(item, notes, depth + 1));
            LogJson::List(items.collect::<Result<_, _>>()?)
        }
        serde_json::Value::String(text) => LogJson::Text(template(text, notes)?),
        fixed => LogJson::Fixed(fixed.clone()),
    })
}

/// Reads text with operators.
pub(crate) fn template(text: &str, notes: &mut Notes) -> Result<LogTemplate, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        literal.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (piece, after) = operator(rest, notes)?;
        if !literal.is_empty() {
            pieces.push(LogPiece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(LogPiece::Literal(literal));
    }
    Ok(LogTemplate { pieces })
}

/// Reads `NAME(argument):length%`; gives what follows.
fn operator<'t>(text: &'t str, notes: &mut Notes) -> Result<(LogPiece, &'t str), String> {
    let shown = || text.chars().take(30).collect::<String>();
    let name_len = text
        .bytes()
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        .count();
    let (name, mut rest) = text.split_at(name_len);
    let mut argument = None;
    if let Some(inner) = rest.strip_prefix('(') {
        let end = inner.find(')');
        let end = end.ok_or_else(|| format!("`%{}`: the bracket is not closed", shown()))?;
        argument = Some(&inner[..end]);
        rest = &inner[end + 1..];
    }
    let mut max_length = None;
    if let Some(after) = rest.strip_prefix(':') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let length = after[..digits].parse::<usize>();
        max_length = Some(length.map_err(|_| format!("`%{}`: no length after `:`", shown()))?);
        rest = &after[digits..];
    }
    let Some(after) = rest.strip_prefix('%').filter(|_| !name.is_empty()) else {
        return Err(format!(
            "`%{}`: a `%` begins an operator and another one ends it; write `%%` for the sign",
            shown()
        ));
    };
    let operator = known(name, argument)?.unwrap_or_else(|| {
        notes.unknown.push(format!("%{name}%"));
        LogOperator::Absent
    });
    let piece = LogPiece::Operator {
        operator,
        max_length,
    };
    Ok((piece, after))
}

fn known(name: &str, argument: Option<&str>) -> Result<Option<LogOperator>, String> {
    use AddressPart::{Ip, Port, Whole};
    Ok(Some(match name {
        "START_TIME" => LogOperator::StartTime(argument.map(str::to_owned)),
        "REQ" => {
            let (name, otherwise) = headers(name, argument)?;
            LogOperator::Request { name, otherwise }
        }
        "RESP" => {
            let (name, otherwise) = headers(name, argument)?;
            LogOperator::Response { name, otherwise }
        }
        "PROTOCOL" => LogOperator::Protocol,
        "RESPONSE_CODE" => LogOperator::ResponseCode,
        "RESPONSE_CODE_DETAILS" => LogOperator::ResponseCodeDetails,
        "RESPONSE_FLAGS" => LogOperator::ResponseFlags,
        "CONNECTION_TERMINATION_DETAILS" => LogOperator::TerminationDetails,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => LogOperator::TransportFailure,
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON" => LogOperator::DownstreamTransportFailure,
        "BYTES_RECEIVED" => LogOperator::BytesReceived,
        "BYTES_SENT" => LogOperator::BytesSent,
        "DURATION" => LogOperator::Duration,
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => LogOperator::UpstreamHost,
        "UPSTREAM_CLUSTER" => LogOperator::UpstreamCluster { raw: false },
        "UPSTREAM_CLUSTER_RAW" => LogOperator::UpstreamCluster { raw: true },
        "UPSTREAM_LOCAL_ADDRESS" => LogOperator::UpstreamLocal(Whole),
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => LogOperator::UpstreamLocal(Ip),
        "UPSTREAM_LOCAL_PORT" => LogOperator::UpstreamLocal(Port),
        "DOWNSTREAM_LOCAL_ADDRESS" => LogOperator::DownstreamLocal(Whole),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => LogOperator::DownstreamLocal(Ip),
        "DOWNSTREAM_LOCAL_PORT" => LogOperator::DownstreamLocal(Port),
        "DOWNSTREAM_REMOTE_ADDRESS" => LogOperator::DownstreamRemote(Whole),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => LogOperator::DownstreamRemote(Ip),
        "DOWNSTREAM_REMOTE_PORT" => LogOperator::DownstreamRemote(Port),
        "ROUTE_NAME" => LogOperator::RouteName,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => LogOperator::AttemptCount,
        name => match TlsFact::of_operator(name) {
            Some(fact) => LogOperator::Tls(fact),
            None => return Ok(None),
        },
    }))
}

type Names = (HeaderName, Option<HeaderName>);

fn headers(operator: &str, argument: Option<&str>) -> Result<Names, String> {
    let argument = argument.unwrap_or_default();
    let (name, otherwise) = match argument.split_once('?') {
        Some((name, otherwise)) => (name, Some(otherwise)),
        None => (argument, None),
    };
    let parse = |name: &str| {
        HeaderName::parse(name)
            .ok_or_else(|| format!("`%{operator}({argument})%`: `{name}` is no header name"))
    };
    Ok((parse(name)?, otherwise.map(parse).transpose()?))
}
