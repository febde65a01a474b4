//! The text of a filter, read by descent. Depth, length and the number of tests are bounded.

use std::ops::Range;

use crate::rules::RULES;

use super::{
    error::{FilterError, shown},
    expression::{Condition, Expression, Order, Pattern, Test, severity},
    fields::{Field, Type},
};

const MAX_LENGTH: usize = 4096;
const MAX_DEPTH: usize = 64;
const MAX_TESTS: usize = 64;

/// What may stand where a term begins.
const TERM: &str = "a field (status, path, flag, …), `not`, `(`, or an alias of mitmproxy's such as ~u";

/// mitmproxy's aliases: name, field, and how the word behind it is compared (`None`: there is none).
const ALIASES: &[(&str, &str, Option<Operator>)] = &[
    ("u", "url", Some(Operator::Finds)),
    ("c", "status", Some(Operator::Order(Order::Equal))),
    ("m", "method", Some(Operator::Finds)),
    ("h", "any-header", Some(Operator::Finds)),
    ("hq", "header", Some(Operator::Finds)),
    ("hs", "response-header", Some(Operator::Finds)),
    ("d", "host", Some(Operator::Finds)),
    ("b", "body", Some(Operator::Finds)),
    ("bq", "request-body", Some(Operator::Finds)),
    ("bs", "response-body", Some(Operator::Finds)),
    ("src", "client", Some(Operator::Finds)),
    ("dst", "server", Some(Operator::Finds)),
    ("t", "any-header.content-type", Some(Operator::Finds)),
    ("tq", "header.content-type", Some(Operator::Finds)),
    ("ts", "response-header.content-type", Some(Operator::Finds)),
    ("e", "failed", None),
    ("websocket", "websocket", None),
    ("http", "method", None), // every exchange has one
    ("q", "not answered", None),
    ("s", "answered", None),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Order(Order),
    Finds,
    Lacks,
}

/// Reads a filter's text.
pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { text, at: 0, tests: 0 };
    if text.len() > MAX_LENGTH {
        let problem = format!("the filter is {} bytes long", text.len());
        return Err(FilterError::new(text, parser.end(), problem, format!("at most {MAX_LENGTH} bytes")));
    }
    let expression = parser.either(0)?;
    parser.skip_blanks();
    match parser.rest() {
        "" => Ok(expression),
        // Terms may stand side by side, so only this can be left.
        _ => Err(parser.unexpected("`and`, `or`, or the end").hint("there is no `(` that this would close")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    tests: usize,
}

impl<'t> Parser<'t> {
    fn either(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.both(depth)?];
        while self.take_any(&["||", "|"]) || self.take_word("or") {
            parts.push(self.both(depth)?);
        }
        Ok(Expression::or(parts))
    }

    fn both(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.term(depth)?];
        while self.take_any(&["&&", "&"]) || self.take_word("and") || self.term_follows() {
            parts.push(self.term(depth)?);
        }
        Ok(Expression::and(parts))
    }

    fn term(&mut self, depth: usize) -> Result<Expression, FilterError> {
        self.skip_blanks();
        let begin = self.at;
        if self.take_any(&["!"]) || self.take_word("not") {
            self.within_depth(depth, begin)?;
            return Ok(Expression::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take_any(&["("]) {
            self.within_depth(depth, begin)?;
            let inner = self.either(depth + 1)?;
            if !self.take_any(&[")"]) {
                let error = self.unexpected("`and`, `or`, or `)`");
                return Err(error.hint(format!("the `(` at column {} is not closed", self.column(begin))));
            }
            return Ok(inner);
        }
        self.tests += 1;
        if self.tests > MAX_TESTS {
            let problem = "the filter has too many tests".to_owned();
            return Err(FilterError::new(self.text, self.spot(), problem, format!("at most {MAX_TESTS}")));
        }
        let test = match self.rest().chars().next() {
            Some('~') => self.alias(),
            Some(c) if c.is_ascii_alphabetic() => self.test(),
            Some('"' | '\'') => {
                Err(self.unexpected(TERM).hint("name the field that bears the text: url~\"…\", body~\"…\""))
            }
            Some('=' | '<' | '>' | ':') => Err(self.unexpected(TERM).hint("a field's name comes first: status>=400")),
            None if self.text.trim().is_empty() => {
                Err(self.unexpected(TERM).hint("leave the filter out to see everything"))
            }
            _ => Err(self.unexpected(TERM)),
        }?;
        if matches!(test, Expression::Not(_)) {
            // `fin=false` is written `not fin`, which must be allowed here too.
            self.within_depth(depth, begin)?;
        }
        Ok(test)
    }

    fn within_depth(&self, depth: usize, begin: usize) -> Result<(), FilterError> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        let problem = "the filter nests too deep".to_owned();
        Err(FilterError::new(self.text, begin..self.at, problem, format!("at most {MAX_DEPTH} levels")))
    }

    /// `~u regex`
    fn alias(&mut self) -> Result<Expression, FilterError> {
        let begin = self.at;
        let name_end = self.rest().char_indices().skip(1).find(|(_, c)| !c.is_ascii_alphanumeric());
        self.at = name_end.map_or(self.text.len(), |(end, _)| begin + end);
        let name = self.text.get(begin + 1..self.at).unwrap_or_default();
        let Some((_, field, operator)) = ALIASES.iter().find(|(alias, ..)| *alias == name) else {
            let problem = format!("there is no alias {}", shown(&format!("~{name}")));
            let all: Vec<String> = ALIASES.iter().map(|(alias, ..)| format!("~{alias}")).collect();
            return Err(FilterError::new(self.text, begin..self.at, problem, all.join(" ")));
        };
        let (negated, field) = field.strip_prefix("not ").map_or((false, *field), |field| (true, field));
        let (field, header) = match field.split_once('.') {
            Some((field, header)) => (field, Some(header.to_owned())),
            None => (field, None),
        };
        let field = Field::find(field).ok_or_else(|| FilterError::unknown_field(self.text, begin..self.at, field))?;
        let condition = match operator {
            Some(operator) => self.comparison(field, *operator)?,
            None => Condition::Is,
        };
        let test = Expression::Test(Test { field, header, condition, at: begin..self.at });
        Ok(if negated { Expression::Not(Box::new(test)) } else { test })
    }

    /// A field and what it is compared with.
    fn test(&mut self) -> Result<Expression, FilterError> {
        let begin = self.at;
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let name = self.take_while(in_name);
        if matches!(name.to_ascii_lowercase().as_str(), "and" | "or") {
            self.at = begin;
            return Err(self.unexpected(TERM).hint("`and` and `or` stand between two terms"));
        }
        let Some(field) = Field::find(name) else {
            return Err(FilterError::unknown_field(self.text, begin..self.at, name));
        };
        let mut header = None;
        if self.rest().starts_with('.') {
            self.at += 1;
            let name = self.take_while(|c| in_name(c) || c == '.');
            if field.type_ != Type::Header {
                let problem = format!("`{}` has no parts", field.name);
                return Err(FilterError::new(self.text, begin..self.at, problem, "`.NAME` behind header fields only"));
            }
            if name.is_empty() {
                return Err(self.unexpected("a header's name, such as header.content-type"));
            }
            header = Some(name.to_ascii_lowercase());
        }
        let name_end = self.at;
        let condition = match self.operator(field)? {
            None => Condition::Is,
            Some(operator) if field.type_ == Type::Bool => {
                let truth = self.truth(field)? == (operator == Operator::Order(Order::Equal));
                let test = Expression::Test(Test { field, header, condition: Condition::Is, at: begin..name_end });
                return Ok(if truth { test } else { Expression::Not(Box::new(test)) });
            }
            Some(operator) => self.comparison(field, operator)?,
        };
        Ok(Expression::Test(Test { field, header, condition, at: begin..self.at }))
    }

    /// The operator that follows a field, if one does.
    fn operator(&mut self, field: &'static Field) -> Result<Option<Operator>, FilterError> {
        let before = self.at;
        self.skip_blanks();
        let begin = self.at;
        let operators = [
            ("!=", Operator::Order(Order::Unequal)),
            ("!~", Operator::Lacks),
            ("<=", Operator::Order(Order::LessOrEqual)),
            (">=", Operator::Order(Order::GreaterOrEqual)),
            ("==", Operator::Order(Order::Equal)),
            ("=", Operator::Order(Order::Equal)),
            (":", Operator::Order(Order::Equal)),
            ("<", Operator::Order(Order::Less)),
            (">", Operator::Order(Order::Greater)),
            ("~", Operator::Finds),
        ];
        let Some((sign, operator)) = operators.into_iter().find(|(sign, _)| self.rest().starts_with(sign)) else {
            self.at = before;
            return Ok(None);
        };
        let looks = matches!(operator, Operator::Finds | Operator::Lacks);
        if field.type_ == Type::Bool && looks && begin > before {
            // `websocket ~u /api`: the next term.
            self.at = before;
            return Ok(None);
        }
        let fits = match field.type_ {
            Type::Bool => matches!(operator, Operator::Order(Order::Equal | Order::Unequal)),
            Type::Text | Type::Header => looks || matches!(operator, Operator::Order(Order::Equal | Order::Unequal)),
            Type::Number | Type::Size | Type::Duration | Type::Severity => !looks,
            Type::Body => true,
        };
        self.at = begin + sign.len();
        if !fits {
            let problem = format!("`{}` is {}, which `{sign}` does not go with", field.name, field.type_.as_str());
            return Err(FilterError::new(self.text, begin..self.at, problem, field.type_.operators()));
        }
        Ok(Some(operator))
    }

    /// The value behind an operator.
    fn comparison(&mut self, field: &'static Field, operator: Operator) -> Result<Condition, FilterError> {
        let (value, at) = self.value(field)?;
        let order = match operator {
            Operator::Finds => return self.pattern(value, at).map(Condition::Finds),
            Operator::Lacks => return self.pattern(value, at).map(Condition::Lacks),
            Operator::Order(order) => order,
        };
        let wrong = |value: &str| {
            let problem = format!("`{}` is {}, {} is none", field.name, field.type_.as_str(), shown(value));
            FilterError::new(self.text, at.clone(), problem, field.type_.operators())
        };
        if matches!(field.name, "flag" | "rule") && !RULES.iter().any(|rule| rule.id == value) {
            return Err(FilterError::unknown_rule(self.text, at, &value));
        }
        match field.type_ {
            Type::Text | Type::Header | Type::Bool if order == Order::Unequal => Ok(Condition::Differs(value)),
            Type::Text | Type::Header | Type::Bool => Ok(Condition::Equals(value)),
            Type::Severity => match severity(&value) {
                Some(severity) => Ok(Condition::Severity(order, severity)),
                None => Err(wrong(&value)),
            },
            Type::Number => {
                quantity(&value, &[("", 1)]).map(|n| Condition::Number(order, n)).ok_or_else(|| wrong(&value))
            }
            Type::Size | Type::Body => {
                quantity(&value, SIZES).map(|n| Condition::Number(order, n)).ok_or_else(|| wrong(&value))
            }
            Type::Duration => quantity(&value, DURATIONS).map(|n| Condition::Number(order, n)).ok_or_else(|| {
                let error = wrong(&value);
                if quantity(&value, SIZES).is_some() { error.hint("it needs a unit: us, ms, s, m or h") } else { error }
            }),
        }
    }

    fn pattern(&self, source: String, at: Range<usize>) -> Result<Pattern, FilterError> {
        Pattern::new(source).map_err(|why| {
            let problem = format!("the regular expression cannot be used: {why}");
            FilterError::new(self.text, at, problem, "the syntax of Rust's regex crate: a|b, [a-z]+, \\d, ^, $")
                .hint("put a backslash before . * + ? ( ) [ ] { } | ^ $ to find the character itself")
        })
    }

    fn truth(&mut self, field: &'static Field) -> Result<bool, FilterError> {
        let (value, at) = self.value(field)?;
        match value.to_ascii_lowercase().as_str() {
            "true" | "yes" => Ok(true),
            "false" | "no" => Ok(false),
            _ => {
                let problem = format!("`{}` is {}, {} is none", field.name, field.type_.as_str(), shown(&value));
                Err(FilterError::new(self.text, at, problem, field.type_.operators()))
            }
        }
    }

    /// A word, or a text in quotes.
    fn value(&mut self, field: &'static Field) -> Result<(String, Range<usize>), FilterError> {
        self.skip_blanks();
        let begin = self.at;
        if let Some(quote @ ('"' | '\'')) = self.rest().chars().next() {
            let text = self.quoted(quote)?;
            return Ok((text, begin..self.at));
        }
        let word = self.take_while(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '&' | '|' | '"' | '\''));
        if word.is_empty() {
            let allowed = format!("`{}` is {}: {}", field.name, field.type_.as_str(), field.type_.operators());
            return Err(self.unexpected(&allowed).hint("put texts with blanks or ( ) & | into quotes"));
        }
        Ok((word.to_owned(), begin..self.at))
    }

    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        let begin = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match (c, chars.peek()) {
                (c, _) if c == quote => {
                    self.at = begin + at + 1;
                    return Ok(text);
                }
                ('\\', Some((_, escaped @ ('"' | '\'' | '\\')))) => {
                    text.push(*escaped);
                    chars.next();
                }
                _ => text.push(c),
            }
        }
        let problem = format!("the text that begins at column {} has no end", self.column(begin));
        Err(FilterError::new(self.text, begin..self.text.len(), problem, format!("a {quote} at its end"))
            .hint(format!("within it, write \\{quote} for {quote}")))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = rest.split_at(rest.find(|c| !wanted(c)).unwrap_or(rest.len())).0;
        self.at += taken.len();
        taken
    }

    fn take_any(&mut self, signs: &[&str]) -> bool {
        self.skip_blanks();
        let found = signs.iter().find(|sign| self.rest().starts_with(**sign));
        self.at += found.map_or(0, |sign| sign.len());
        found.is_some()
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let found = self.word().eq_ignore_ascii_case(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// The word that stands here, if one does.
    fn word(&self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
        rest.split_at(end.unwrap_or(rest.len())).0
    }

    /// Whether another term stands here, side by side with the last one.
    fn term_follows(&mut self) -> bool {
        self.skip_blanks();
        self.rest().starts_with(|c| !matches!(c, ')' | '|')) && !self.word().eq_ignore_ascii_case("or")
    }

    fn end(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    /// Where the next word or sign stands.
    fn spot(&self) -> Range<usize> {
        let length = match (self.word().len(), self.rest().chars().next()) {
            (0, Some(sign)) => sign.len_utf8(),
            (word, _) => word,
        };
        self.at..self.at + length
    }

    fn column(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or_default().chars().count() + 1
    }

    fn unexpected(&mut self, allowed: &str) -> FilterError {
        self.skip_blanks();
        let spot = self.spot();
        let found = match self.text.get(spot.clone()) {
            None | Some("") => "the end".to_owned(),
            Some(found) => shown(found),
        };
        FilterError::new(self.text, spot, format!("{found} was not expected here"), allowed)
    }
}

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("k", 1_000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("m", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("g", 1_000_000_000),
    ("gib", 1 << 30),
];

const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A number with a unit, in the unit's smallest part; fractions must come out whole.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit = unit.to_lowercase();
    if number == "0" && unit.is_empty() {
        return Some(0);
    }
    let scale = u128::from(units.iter().find(|(name, _)| *name == unit)?.1);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 9 || number.ends_with('.') {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    if !(part * scale).is_multiple_of(divisor) {
        return None;
    }
    u64::try_from(whole * scale + part * scale / divisor).ok()
}
