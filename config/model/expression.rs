//! CEL expressions of Telemetries: read once, bounded, evaluated over a request's attributes.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr};
use cel::objects::{Key, Map};
use cel::{Context, Program, Value};

/// The longest expression that is read.
const MOST_BYTES: usize = 2_048;

/// Operators and brackets that the parser is given, those in strings counted too: it is recursive,
/// and a chain such as `1+1+1` is as deep for it as a nest of brackets.
const MOST_STEPS: usize = 256;

/// A stack on which so many steps fit twice. One that overflows ends the process.
const PARSER_STACK: usize = 64 << 20;

/// The deepest expression that is evaluated, on whatever stack there is.
const MOST_DEPTH: usize = 24;

/// Macros that walk over a map or list; nested ones multiply.
const MOST_WALKS: usize = 2;

/// An expression that can be evaluated.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    program: Arc<Program>,
}

/// What an expression can look at.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Named attributes.
    Map(Vec<(String, Attribute)>),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// Why it is none, or too large to be evaluated for every request.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.len() > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        if steps(source) > MOST_STEPS {
            return Err(format!(
                "it has more than {MOST_STEPS} operators and brackets"
            ));
        }
        let walks = [".all(", ".exists(", ".exists_one(", ".map(", ".filter("];
        let walks: usize = walks.iter().map(|walk| source.matches(walk).count()).sum();
        if walks > MOST_WALKS {
            return Err(format!("it walks over lists more than {MOST_WALKS} times"));
        }
        let program = compile(source)?;
        Ok(Self {
            source: source.into(),
            program: Arc::new(program),
        })
    }

    /// Whether it is true; an expression that fails (on a missing header, say) is not (Envoy: the
    /// CEL access log filter).
    pub fn holds(&self, attributes: &[(&'static str, Attribute)]) -> bool {
        matches!(self.evaluate(attributes), Some(Value::Bool(true)))
    }

    /// Its value as text; none where it fails.
    pub fn text(&self, attributes: &[(&'static str, Attribute)]) -> Option<String> {
        match self.evaluate(attributes)? {
            Value::String(text) => Some(text.to_string()),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    fn evaluate(&self, attributes: &[(&'static str, Attribute)]) -> Option<Value> {
        let run = || {
            let mut context = Context::default();
            for (name, attribute) in attributes {
                context.add_variable_from_value(*name, value(attribute));
            }
            self.program.execute(&context).ok()
        };
        catch_unwind(AssertUnwindSafe(run)).ok().flatten()
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Reads an expression on a stack of its own; what is too deep ends there, for even dropping it is
/// recursive. The parser is generated code that nobody here has read whole: it may panic.
fn compile(source: &str) -> Result<Program, String> {
    let read = || {
        let program = Program::compile(source).map_err(|errors| {
            let text = errors.to_string();
            text.lines().next().unwrap_or_default().trim().to_owned()
        })?;
        if is_deeper(program.expression(), MOST_DEPTH) {
            return Err(format!("it is nested deeper than {MOST_DEPTH}"));
        }
        Ok(program)
    };
    thread::scope(|scope| {
        let parser = thread::Builder::new()
            .name("cel".to_owned())
            .stack_size(PARSER_STACK);
        let running = parser
            .spawn_scoped(scope, read)
            .map_err(|error| format!("it cannot be read now: {error}"))?;
        let read = running.join();
        read.unwrap_or_else(|_| Err("the CEL parser failed on it".to_owned()))
    })
}

fn steps(source: &str) -> usize {
    let signs = source
        .bytes()
        .filter(|byte| b"([{?!+-*/%<>=".contains(byte));
    let words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
    signs.count() + words.filter(|word| *word == "in").count()
}

/// Whether an expression has more than `most` levels.
fn is_deeper(expression: &IdedExpr, most: usize) -> bool {
    let Some(most) = most.checked_sub(1) else {
        return true;
    };
    let deeper = |part: &IdedExpr| is_deeper(part, most);
    let any = |entries: &[IdedEntryExpr]| {
        entries.iter().any(|entry| match &entry.expr {
            EntryExpr::StructField(field) => deeper(&field.value),
            EntryExpr::MapEntry(entry) => deeper(&entry.key) || deeper(&entry.value),
        })
    };
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => false,
        Expr::Call(call) => {
            call.target.iter().any(|part| deeper(part)) || call.args.iter().any(deeper)
        }
        Expr::Comprehension(walk) => [
            &walk.iter_range,
            &walk.accu_init,
            &walk.loop_cond,
            &walk.loop_step,
            &walk.result,
        ]
        .into_iter()
        .any(deeper),
        Expr::List(list) => list.elements.iter().any(deeper),
        Expr::Map(map) => any(&map.entries),
        Expr::Select(select) => deeper(&select.operand),
        Expr::Struct(part) => any(&part.entries),
    }
}

fn value(attribute: &Attribute) -> Value {
    match attribute {
        Attribute::Bool(value) => Value::Bool(*value),
        Attribute::Integer(number) => Value::Int(*number),
        Attribute::Text(text) => Value::String(Arc::new(text.clone())),
        Attribute::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(name, attribute)| (Key::from(name.clone()), value(attribute)));
            Value::Map(Map {
                map: Arc::new(entries.collect()),
            })
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Vec<(&'static str, Attribute)> {
        let text = |text: &str| Attribute::Text(text.to_owned());
        let headers = Attribute::Map(vec![("x-a".to_owned(), text("1"))]);
        let request = vec![
            ("method".to_owned(), text("GET")),
            ("headers".to_owned(), headers),
        ];
        let response = vec![("code".to_owned(), Attribute::Integer(503))];
        vec![
            ("request", Attribute::Map(request)),
            ("response", Attribute::Map(response)),
        ]
    }

    #[test]
    fn expressions_look_at_attributes() {
        for (source, expected) in [
            ("response.code >= 400", true),
            ("response.code < 400", false),
            ("request.method == 'GET' && response.code == 503", true),
            ("request.headers['x-a'] == '1'", true),
            ("'x-b' in request.headers", false),
            ("has(request.headers.none)", false),
            // What fails does not hold.
            ("request.headers['x-b'] == '1'", false),
            ("nothing.here == 1", false),
            ("request.method", false),
        ] {
            let expression = Expression::parse(source).expect(source);
            assert_eq!(expression.holds(&attributes()), expected, "{source}");
        }
        let text = |source| Expression::parse(source).expect(source).text(&attributes());
        assert_eq!(text("request.method").as_deref(), Some("GET"));
        assert_eq!(text("'fixed'").as_deref(), Some("fixed"));
        assert_eq!(text("response.code").as_deref(), Some("503"));
        assert_eq!(text("request.none"), None);
    }

    #[test]
    fn what_is_no_expression_is_refused_and_nothing_panics() {
        let long = "a".repeat(3_000);
        let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
        let nots = format!("{}true", "!".repeat(500));
        let walks = "a.all(x, a.all(y, a.all(z, true)))";
        for source in [
            "", "a ==", "((", "'", "a b", "\u{0}", &long, &deep, &nots, walks,
        ] {
            assert!(Expression::parse(source).is_err(), "{source:.40}");
        }
    }

    #[test]
    fn no_nest_and_no_chain_overflows_the_stack() {
        let many = |part: &str, count: usize| part.repeat(count);
        for count in [10, 100, 200, 400] {
            let sources = [
                format!("{}1{}", many("(", count), many(")", count)),
                format!("{}1{}", many("[", count), many("]", count)),
                format!("{}1{}", many("{1:", count), many("}", count)),
                many("{1:", count),
                format!("'\\q{}", many("(", count)),
                format!("1{}", many("+1", count)),
                format!("1{}", many("-1", count)),
                format!("a{}", many("==a", count)),
                format!("a{}", many(" in a", count)),
                format!("a{}", many("[0]", count)),
                format!("a{}", many(".a", count)),
                format!("a{}", many("||a", count)),
                format!("{}1", many("true?1:", count)),
                format!("{}1{}", many("1+(", count), many(")", count)),
            ];
            for source in sources {
                if let Ok(expression) = Expression::parse(&source) {
                    expression.text(&attributes());
                }
            }
        }
    }

    #[test]
    fn a_long_filter_is_read() {
        let condition = "request.headers['x-forwarded-client-cert'] != 'a-b'";
        let source = vec![condition; 20].join(" && ");
        assert!(Expression::parse(&source).is_ok());
    }
}
