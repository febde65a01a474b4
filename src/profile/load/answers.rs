//! What answers look like: `[origin]`, `[correlation]`, `[error]`, `[[error_frames]]`, `[[close_codes]]`,
//! `[expected_status]`, `[rate_limit]`, `[[limits]]`.

use std::collections::BTreeMap;

use super::{
    CONFIDENCE, DURATION, FRAME, frame, header, headers, id, identity::hypothesis, parse_duration, pointer, pointers,
    small, unique,
};
use crate::profile::{
    CloseCode, Confidence, Correlation, Counts, Error, ErrorBody, ErrorFrame, ExpectedStatus, Limit, Origin, Pattern,
    Per, RateLimitHeaders, Refusal, read::Table,
};

pub(super) fn origin(root: &Table<'_>) -> Result<Origin, Error> {
    let Some(table) = root.table("origin", &["headers", "pointers", "error_pointers"])? else {
        return Ok(Origin::default());
    };
    Ok(Origin {
        headers: headers(&table, "headers")?,
        pointers: pointers(&table, "pointers")?,
        error_pointers: pointers(&table, "error_pointers")?,
    })
}

pub(super) fn correlation(root: &Table<'_>) -> Result<Correlation, Error> {
    let Some(table) = root.table("correlation", &["headers", "edge_headers", "pointer"])? else {
        return Ok(Correlation::default());
    };
    Ok(Correlation {
        headers: headers(&table, "headers")?,
        edge_headers: headers(&table, "edge_headers")?,
        pointer: pointer(&table, "pointer")?,
    })
}

pub(super) fn error(root: &Table<'_>) -> Result<ErrorBody, Error> {
    const KEYS: &[&str] = &["code", "message", "status", "details", "limiter", "code_pattern", "quota_400"];
    const CODES: &str = "a list of error codes, such as [\"quota.exceeded\"]";
    let Some(table) = root.table("error", KEYS)? else { return Ok(ErrorBody::default()) };
    let quota_400 = table.parsed("quota_400", CODES, |text| Some(text.to_owned()))?;
    if !quota_400.is_empty() && table.get("code").is_none() {
        return Err(table.lacks("code", "a JSON pointer to the code, since `quota_400` lists codes"));
    }
    Ok(ErrorBody {
        code: pointer(&table, "code")?,
        message: pointer(&table, "message")?,
        status: pointer(&table, "status")?,
        details: pointer(&table, "details")?,
        limiter: pointer(&table, "limiter")?,
        code_pattern: table
            .get("code_pattern")
            .map(|value| value.tried("a regular expression", Pattern::parse))
            .transpose()?,
        quota_400,
    })
}

pub(super) fn error_frames(root: &Table<'_>) -> Result<Vec<ErrorFrame>, Error> {
    let mut frames: Vec<ErrorFrame> = Vec::new();
    for table in root.tables("error_frames", &["id", "when", "code", "message"])? {
        let name = table.need("id", "a name")?;
        let read = ErrorFrame {
            id: id(&name)?,
            when: frame(&table.need("when", FRAME)?)?,
            code: pointer(&table, "code")?,
            message: pointer(&table, "message")?,
        };
        unique(&name, &read.id, frames.iter().map(|frame| frame.id.as_str()))?;
        frames.push(read);
    }
    Ok(frames)
}

pub(super) fn close_codes(root: &Table<'_>) -> Result<Vec<CloseCode>, Error> {
    const CODE: &str = "a close code between 1000 and 4999";
    let mut codes: Vec<CloseCode> = Vec::new();
    for table in root.tables("close_codes", &["code", "meaning", "hypothesis"])? {
        let value = table.need("code", CODE)?;
        let read = CloseCode {
            code: small(&value, 1000..=4999, CODE)?,
            meaning: table.need("meaning", "a sentence")?.text("a sentence")?.to_owned(),
            hypothesis: table.get("hypothesis").map(|value| hypothesis(&value)).transpose()?,
        };
        if codes.iter().any(|known| known.code == read.code) {
            return Err(value.wrong_since("a code that is not taken", "it is explained above".to_owned()));
        }
        codes.push(read);
    }
    Ok(codes)
}

pub(super) fn expected_status(root: &Table<'_>) -> Result<ExpectedStatus, Error> {
    const STATUS: &str = "a status between 400 and 599";
    let known: Vec<&str> = Refusal::ALL.iter().map(|(word, _)| *word).collect();
    let Some(table) = root.table("expected_status", &known)? else { return Ok(BTreeMap::new()) };
    let mut expected = BTreeMap::new();
    for (word, refusal) in Refusal::ALL {
        if let Some(value) = table.get(word) {
            expected.insert(*refusal, small(&value, 400..=599, STATUS)?);
        }
    }
    Ok(expected)
}

pub(super) fn rate_limit(root: &Table<'_>) -> Result<RateLimitHeaders, Error> {
    let Some(table) = root.table("rate_limit", &["used", "allowed", "left", "reset", "retry"])? else {
        return Ok(RateLimitHeaders::default());
    };
    Ok(RateLimitHeaders {
        used: header(&table, "used")?,
        allowed: header(&table, "allowed")?,
        left: header(&table, "left")?,
        reset: header(&table, "reset")?,
        retry: header(&table, "retry")?,
    })
}

pub(super) fn limits(root: &Table<'_>) -> Result<Vec<Limit>, Error> {
    const VALUE: &str = "a whole number of at least 1";
    const SOURCE: &str = "who says so, in a few words";
    let mut limits = Vec::new();
    for table in root.tables("limits", &["key", "value", "counts", "per", "window", "confidence", "source"])? {
        let value = table.need("value", VALUE)?;
        limits.push(Limit {
            key: id(&table.need("key", "a name")?)?,
            value: u64::try_from(value.integer(1..=i64::MAX, VALUE)?).map_err(|_| value.wrong(VALUE))?,
            counts: table.get("counts").map(|value| value.one_of(Counts::ALL)).transpose()?.unwrap_or_default(),
            per: table.need("per", "for whom it is counted, such as \"token\"")?.one_of(Per::ALL)?,
            window: table.get("window").map(|value| value.parsed(DURATION, parse_duration)).transpose()?,
            confidence: table.need("confidence", CONFIDENCE)?.one_of(Confidence::ALL)?,
            source: table.need("source", SOURCE)?.text(SOURCE)?.to_owned(),
        });
    }
    Ok(limits)
}
