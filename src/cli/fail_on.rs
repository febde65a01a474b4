//! What `--fail-on` waits for: a rule, or anything that bad.

use super::output::Usage;
use crate::{model::flag::Severity, rules};

/// One `--fail-on`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FailOn {
    Rule(&'static str),
    /// That severity, or a worse one.
    Severity(Severity),
}

impl FailOn {
    /// All of them, in their order.
    pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Self>, Usage> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn parse(text: &str) -> Result<Self, Usage> {
        if let Some(severity) = Severity::parse(text) {
            return Ok(Self::Severity(severity));
        }
        rules::find(text).map(|rule| Self::Rule(rule.id)).ok_or_else(|| {
            let ids: Vec<&str> = rules::RULES.iter().map(|rule| rule.id).collect();
            Usage(format!("--fail-on {text:?}: expected one of {}, or error, warning, hint", ids.join(", ")))
        })
    }

    /// Whether a flag of that rule and severity is what it waits for.
    pub(super) fn matches(&self, rule: &str, severity: Severity) -> bool {
        match self {
            Self::Rule(id) => *id == rule,
            Self::Severity(least) => severity >= *least,
        }
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Rule(id) => id,
            Self::Severity(severity) => severity.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn it_takes_rules_and_severities() {
        assert_eq!(FailOn::parse("warning").unwrap(), FailOn::Severity(Severity::Warning));
        let refused = FailOn::parse("metadata-before-opne").unwrap_err().to_string();
        assert!(refused.contains("expected one of") && refused.contains("or error, warning, hint"), "{refused}");
    }

    #[test]
    fn a_severity_means_that_or_worse() {
        let warning = FailOn::Severity(Severity::Warning);
        assert!(warning.matches("any", Severity::Error) && warning.matches("any", Severity::Warning));
        assert!(!warning.matches("any", Severity::Hint));
    }
}
