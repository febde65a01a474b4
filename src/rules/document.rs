//! The rules as a document: `docs/rules.md` is this text, and a test keeps it so.

use std::fmt::Write as _;

use super::{Group, Known, Needs, RULES, RuleInfo};

/// All rules in Markdown: id, severity, when known, what they must see, default, options, and where the knowledge comes
/// from. `options_of` gives the lines of a rule's options, which the settings know.
pub fn document(options_of: impl Fn(&str) -> Vec<String>) -> String {
    let mut text = String::from(
        "# Rules\n\nEach flag is one hit of one of these on a connection, an exchange, a frame or a session, with its \
         evidence. *Known before* the\nresponse, it could be a cause of a refusal; *with* or *after* it, it is a symptom. \
         Rules are switched with `rules.on` and\n`rules.off`; \
         those with options take them from `[rules.<id>]`, or `--set rules.<id>.NAME=VALUE`.\n\nThis file is generated: `UPDATE=1 cargo test --test it \
         the_document_of_the_rules` writes it.\n",
    );
    for group in Group::ALL {
        let _ = writeln!(text, "\n## {}", group.title());
        RULES.iter().filter(|rule| rule.group == *group).for_each(|rule| describe(&mut text, rule, &options_of));
    }
    text
}

fn describe(text: &mut String, rule: &RuleInfo, options_of: &impl Fn(&str) -> Vec<String>) {
    let needs: Vec<&str> = rule.needs.iter().map(|needs| needs.as_str()).collect();
    let on = if rule.default_on { "on" } else { "off" };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n### {}\n\n{}\n\n- {}, known {} the response; must see {}\n- {on} by default: {}\n- source: {}\n",
        rule.id,
        sentence(rule.summary),
        rule.severity.as_str(),
        rule.known.as_str(),
        needs.join(", "),
        rule.why,
        rule.source,
    );
    for line in options_of(rule.id) {
        let _ = writeln!(text, "- option {line}");
    }
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).chain(['.']).collect())
}

impl Needs {
    fn as_str(self) -> &'static str {
        match self {
            Self::RequestHead => "request heads",
            Self::RequestBody => "request bodies",
            Self::Session => "sessions",
            Self::Response => "responses",
            Self::Frames => "frames",
        }
    }
}

impl Known {
    fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::With => "with",
            Self::After => "after",
        }
    }
}
