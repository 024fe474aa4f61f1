//! grpc-web: what browsers can say of gRPC, turned into gRPC and back (gRPC: PROTOCOL-WEB.md; Envoy:
//! the filter `grpc_web`). Trailers become the last piece of the body, and the text form is base64.

use data_encoding::BASE64;

use crate::exchange::grpc;
use crate::http1::{Fields, RequestHead, ResponseHead};

/// The flag of the piece that holds the trailers.
const TRAILERS: u8 = 0x80;
/// How much is decoded at once.
const PIECE: usize = 3 * 1024;

/// How a call came, and how its answer is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcWeb {
    /// The request's body is base64.
    pub text: bool,
    /// The answer's is to be.
    pub text_answer: bool,
}

/// The body is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl GrpcWeb {
    /// Turns a request's head into that of a gRPC call; none where it is no grpc-web.
    pub(super) fn begin(head: &mut RequestHead) -> Option<Self> {
        let is_text = |value: &[u8]| match media_type(value) {
            Some(b"") | Some(b"+proto") => Some(false),
            Some(b"-text") | Some(b"-text+proto") => Some(true),
            _ => None,
        };
        let fields = head.fields();
        let text = is_text(fields.get("content-type")?)?;
        let web = Self {
            text,
            text_answer: fields.get("accept").and_then(is_text).unwrap_or(false),
        };
        let fields = head.fields_mut();
        fields.set("content-type", b"application/grpc");
        fields.set("te", b"trailers");
        if fields.get("grpc-accept-encoding").is_none() {
            fields.set("grpc-accept-encoding", b"identity");
        }
        Some(web)
    }

    /// The `content-type` of the answer.
    pub(super) fn content_type(self) -> &'static [u8] {
        if self.text_answer {
            b"application/grpc-web-text+proto"
        } else {
            b"application/grpc-web+proto"
        }
    }

    /// Turns an endpoint's head into the one that the client understands. False where the answer is
    /// no gRPC: its status is told, and its body is of no use to the client.
    pub(super) fn answer(self, head: &mut ResponseHead) -> bool {
        let status = head.status();
        let fields = head.fields_mut();
        let is_web = || {
            let own = fields.get("content-type").and_then(media_type);
            matches!(own, Some(b"" | b"+proto"))
        };
        let is_call = status == 200 && (grpc::is_call(fields) || is_web());
        fields.set("content-type", self.content_type());
        if !is_call && fields.get("grpc-status").is_none() {
            let grpc = grpc::status_of(status);
            fields.set("grpc-status", itoa::Buffer::new().format(grpc).as_bytes());
            let message = format!("the endpoint answered with the status {status} and no gRPC");
            fields.set("grpc-message", &grpc::message(message.as_bytes()));
        }
        is_call
    }
}

/// What follows `application/grpc-web` in a media type, without parameters.
fn media_type(value: &[u8]) -> Option<&[u8]> {
    const TYPE: &[u8] = b"application/grpc-web";
    let value = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let (own, rest) = value.split_at_checked(TYPE.len())?;
    own.eq_ignore_ascii_case(TYPE).then_some(rest)
}

/// What a body becomes on its way.
#[derive(Debug)]
pub(super) enum Conversion {
    /// A request's, from base64.
    FromText(FromText),
    /// An answer's, to base64 or as it is, with the trailers behind it.
    Answer {
        /// In base64.
        text: bool,
    },
}

impl Conversion {
    /// Whether the bytes themselves are changed.
    pub(super) fn changes_bytes(&self) -> bool {
        match self {
            Self::FromText(_) => true,
            Self::Answer { text } => *text,
        }
    }

    /// Whether the trailers become a piece of the body.
    pub(super) fn takes_trailers(&self) -> bool {
        matches!(self, Self::Answer { .. })
    }

    /// A piece of the body.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Result<Vec<u8>, NotText> {
        match self {
            Self::FromText(text) => text.decode(bytes),
            Self::Answer { text: true } => Ok(BASE64.encode(bytes).into_bytes()),
            Self::Answer { text: false } => Ok(bytes.to_vec()),
        }
    }

    /// What comes behind the last piece.
    pub(super) fn end(&self, trailers: Option<&Fields>) -> Result<Vec<u8>, NotText> {
        match (self, trailers) {
            (Self::FromText(text), _) if text.have > 0 => Err(NotText),
            (Self::FromText(_), _) | (Self::Answer { .. }, None) => Ok(Vec::new()),
            (Self::Answer { text }, Some(trailers)) => {
                let piece = trailers_piece(trailers);
                Ok(if *text {
                    BASE64.encode(&piece).into_bytes()
                } else {
                    piece
                })
            }
        }
    }
}

fn trailers_piece(trailers: &Fields) -> Vec<u8> {
    let mut piece = vec![TRAILERS, 0, 0, 0, 0];
    for (name, value) in trailers.iter() {
        piece.extend_from_slice(&name.to_ascii_lowercase());
        piece.push(b':');
        piece.extend_from_slice(value);
        piece.extend_from_slice(b"\r\n");
    }
    let length = u32::try_from(piece.len() - 5).unwrap_or(u32::MAX);
    piece[1..5].copy_from_slice(&length.to_be_bytes());
    piece
}

/// Base64 that comes in pieces. Each four letters are taken as they come, padded or not: a client
/// may pad each message.
#[derive(Debug, Default)]
pub(super) struct FromText {
    /// Letters that wait for the rest of their four.
    letters: [u8; 4],
    have: usize,
}

impl FromText {
    fn decode(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, NotText> {
        let mut plain = Vec::with_capacity(bytes.len() / 4 * 3 + 3);
        while self.have > 0 {
            let Some((first, rest)) = bytes.split_first() else {
                return Ok(plain);
            };
            bytes = rest;
            if let Some(letter) = self.letters.get_mut(self.have) {
                *letter = *first;
            }
            self.have += 1;
            if self.have == self.letters.len() {
                self.have = 0;
                let letters = self.letters;
                decode(&letters, &mut plain)?;
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
        for piece in whole.chunks(PIECE) {
            decode(piece, &mut plain)?;
        }
        for (letter, byte) in self.letters.iter_mut().zip(rest) {
            *letter = *byte;
        }
        self.have = rest.len();
        Ok(plain)
    }
}

/// Whole fours of letters.
fn decode(letters: &[u8], plain: &mut Vec<u8>) -> Result<(), NotText> {
    plain.extend_from_slice(&BASE64.decode(letters).map_err(|_| NotText)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(content_type: &str, accept: &str) -> RequestHead {
        let mut head = RequestHead::new(b"POST", b"/a.B/C", b"a.lan");
        let fields = head.fields_mut();
        fields.append("content-type", content_type.as_bytes());
        fields.append("accept", accept.as_bytes());
        head
    }

    #[test]
    fn a_call_is_known_by_its_media_type() {
        const WEB: &str = "application/grpc-web";
        for (content_type, accept, want) in [
            (WEB, "", Some((false, false))),
            (
                "Application/gRPC-Web+proto; charset=x",
                "",
                Some((false, false)),
            ),
            ("application/grpc-web-text", WEB, Some((true, false))),
            (
                "application/grpc-web-text+proto",
                "application/grpc-web-text",
                Some((true, true)),
            ),
            ("application/grpc", "", None),
            ("application/grpc-web+json", "", None),
            ("application/json", WEB, None),
        ] {
            let mut head = call(content_type, accept);
            let web = GrpcWeb::begin(&mut head);
            let got = web.map(|web| (web.text, web.text_answer));
            assert_eq!(got, want, "{content_type}");
            assert_eq!(
                grpc::is_call(head.fields()),
                want.is_some() || content_type == "application/grpc"
            );
        }
    }

    #[test]
    fn text_is_decoded_however_it_is_cut() {
        let plain: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        // Two messages, each with padding of its own.
        let text = [BASE64.encode(&plain), BASE64.encode(b"ab")].concat();
        let want = [&plain[..], b"ab"].concat();
        for size in [1, 2, 3, 4, 5, 4_096, text.len()] {
            let mut conversion = Conversion::FromText(FromText::default());
            let pieces = text.as_bytes().chunks(size);
            let got: Vec<u8> = pieces
                .flat_map(|piece| conversion.piece(piece).unwrap())
                .collect();
            assert_eq!(got, want, "pieces of {size}");
            assert_eq!(conversion.end(None), Ok(Vec::new()));
        }
        let mut cut = Conversion::FromText(FromText::default());
        assert_eq!(cut.piece(b"AAAAAA"), Ok(vec![0; 3]));
        assert_eq!(cut.end(None), Err(NotText));
        let mut wrong = Conversion::FromText(FromText::default());
        assert_eq!(wrong.piece(b"A$$A"), Err(NotText));
    }

    #[test]
    fn trailers_are_the_last_piece() {
        let mut trailers = Fields::new();
        trailers.append("Grpc-Status", b"0");
        trailers.append("grpc-message", b"a b");
        let want = b"\x80\0\0\0\x21grpc-status:0\r\ngrpc-message:a b\r\n";
        let plain = Conversion::Answer { text: false };
        assert_eq!(plain.end(Some(&trailers)), Ok(want.to_vec()));
        let text = Conversion::Answer { text: true };
        assert_eq!(
            text.end(Some(&trailers)),
            Ok(BASE64.encode(want).into_bytes())
        );
        assert_eq!(plain.end(None), Ok(Vec::new()));
    }

    #[test]
    fn an_answer_that_is_no_grpc_is_told_as_a_status() {
        let web = GrpcWeb {
            text: false,
            text_answer: true,
        };
        let mut head = ResponseHead::new(503);
        head.fields_mut().append("content-type", b"text/html");
        assert!(!web.answer(&mut head));
        assert_eq!(head.fields().get("grpc-status"), Some(&b"14"[..]));
        assert_eq!(
            head.fields().get("content-type"),
            Some(&b"application/grpc-web-text+proto"[..])
        );
        let mut head = ResponseHead::new(200);
        head.fields_mut()
            .append("content-type", b"application/grpc");
        assert!(web.answer(&mut head));
        assert_eq!(head.fields().get("grpc-status"), None);
    }
}
