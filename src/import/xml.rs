//! A JTL in XML (`jmeter.save.saveservice.output_format=xml`): samples with their parts within them, and far more than is
//! wanted here: what JMeter shows as sent and received there is its own account, and the wire has the true one.

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use super::{Error, Jtl, Role, Row, lines::Lines};

/// Texts of a sample's children that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Url,
    Failure,
}

/// Reads a JTL from its bytes; `name` is for messages. A file that ends in the middle, as a running or killed JMeter
/// leaves it, gives the samples that are whole.
///
/// # Errors
/// Where it is no `testResults`.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Jtl, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    let mut lines = Lines::new(text.as_bytes());
    let mut jtl = Jtl { zoned: true, ..Jtl::default() };
    // The samples that are open, outermost first, by their place among the rows.
    let mut open: Vec<usize> = Vec::new();
    let mut wanted: Option<Wanted> = None;
    // Those of which something could not be read. They stay until what stands within them is known.
    let mut refused: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    let is_whole = loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                jtl.refuse(lines.of(before), format!("no XML from here on: {error}"));
                break false;
            }
        };
        match event {
            Event::Start(tag) | Event::Empty(tag) if depth == 0 && tag.name().as_ref() != "testResults" => {
                let found = format!("it is XML, and begins with <{}>", tag.name().as_ref());
                let hint = "JMeter writes <testResults>; -l FILE is the run's record";
                return Err(Error::Format { path: name.to_owned(), found, hint });
            }
            Event::Start(tag) => {
                depth += 1;
                if is_sample(&tag) {
                    open.push(jtl.rows.len());
                    sample(&mut jtl, &mut refused, &tag, lines.of(before));
                }
                wanted = match tag.name().as_ref() {
                    "java.net.URL" => Some(Wanted::Url),
                    "failureMessage" => Some(Wanted::Failure),
                    _ => None,
                };
            }
            Event::Empty(tag) if is_sample(&tag) => sample(&mut jtl, &mut refused, &tag, lines.of(before)),
            Event::Text(text) => add(&mut jtl, &open, wanted, &text.xml10_content()),
            Event::CData(text) => add(&mut jtl, &open, wanted, &text),
            Event::GeneralRef(reference) => {
                let one = reference.resolve_char_ref().ok().flatten().map(String::from);
                let text = one.or_else(|| resolve_predefined_entity(&reference).map(str::to_owned));
                add(&mut jtl, &open, wanted, text.as_deref().unwrap_or_default());
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                wanted = None;
                if matches!(tag.name().as_ref(), "httpSample" | "sample")
                    && let Some(at) = open.pop()
                {
                    close(&mut jtl, at);
                }
            }
            Event::Eof => break depth == 0,
            _ => {}
        }
    };
    if !is_whole {
        // What was open has not all been read: the URL stands last.
        if let Some(first) = open.first() {
            jtl.rows.truncate(*first);
        }
        let line = lines.of(text.len());
        jtl.refuse(line, "the file ends in the middle".to_owned());
    }
    let mut at = 0;
    let mut refused = refused.into_iter().peekable();
    jtl.rows.retain(|_| {
        at += 1;
        refused.next_if_eq(&(at - 1)).is_none()
    });
    jtl.lacks.url = jtl.rows.iter().all(|row| row.url.is_none());
    jtl.lacks.code = jtl.rows.iter().all(|row| row.code.is_empty());
    jtl.lacks.thread = jtl.rows.iter().all(|row| row.thread.is_empty());
    jtl.lacks.time = jtl.rows.iter().all(|row| row.start_ms == 0);
    Ok(jtl)
}

fn is_sample(tag: &BytesStart<'_>) -> bool {
    matches!(tag.name().as_ref(), "httpSample" | "sample")
}

/// A row of a sample's attributes. What cannot be read of them leaves it out of the sums, and is told.
fn sample(jtl: &mut Jtl, refused: &mut Vec<usize>, tag: &BytesStart<'_>, line: u64) {
    let mut row = Row { line, ..Row::default() };
    let mut why = None;
    for attribute in tag.attributes().with_checks(false).flatten() {
        let Ok(value) = attribute.normalized_value(XmlVersion::Explicit1_0) else { continue };
        let key = attribute.key.as_ref();
        let mut number = || {
            let parsed = value.trim().parse::<i64>();
            parsed.inspect_err(|_| why = Some(format!("{key} is {value:?}, no number"))).ok()
        };
        match key {
            "ts" => row.start_ms = number().unwrap_or_default(),
            "t" => row.elapsed_ms = number().unwrap_or_default(),
            "it" => row.idle_ms = number(),
            "lt" => row.latency_ms = number(),
            "ct" => row.connect_ms = number(),
            "by" => row.bytes = number().and_then(|bytes| u64::try_from(bytes).ok()),
            "sby" => row.sent_bytes = number().and_then(|bytes| u64::try_from(bytes).ok()),
            "s" => row.success = value == "true",
            "lb" => row.label = value.into_owned(),
            "rc" => row.code = value.into_owned(),
            "rm" => row.message = value.into_owned(),
            "tn" => row.thread = value.into_owned(),
            _ => {}
        }
    }
    if let Some(why) = why {
        refused.push(jtl.rows.len());
        jtl.refuse(line, why);
    }
    jtl.rows.push(row);
}

/// Takes a piece of a text that is wanted of the innermost sample.
fn add(jtl: &mut Jtl, open: &[usize], wanted: Option<Wanted>, text: &str) {
    let Some(row) = open.last().and_then(|at| jtl.rows.get_mut(*at)) else { return };
    match wanted {
        Some(Wanted::Url) => row.url.get_or_insert_default().push_str(text),
        Some(Wanted::Failure) => row.failure.push_str(text),
        None => {}
    }
}

/// A sample is whole: what it stands for.
fn close(jtl: &mut Jtl, at: usize) {
    let parts = jtl.rows.len().saturating_sub(at + 1);
    let Some(row) = jtl.rows.get_mut(at) else { return };
    if row.url.is_none() && row.message.starts_with("Number of samples in transaction") {
        // What stands within it are requests of their own.
        row.role = Role::Transaction;
    } else if parts > 0 {
        row.role = Role::Parent;
        for part in jtl.rows.iter_mut().skip(at + 1).filter(|part| part.role == Role::Sample) {
            part.role = Role::Part;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    /// As JMeter 5.6 writes it, shortened.
    const FILE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testResults version="1.2">
<httpSample t="313" it="0" lt="309" ct="32" ts="1795291542966" s="false" lb="post &quot;json&quot;" rc="400" rm="Bad Request" tn="TG 1-1" dt="text" by="121" sby="272" sc="1" ec="1" ng="1" na="1" hn="vm">
  <requestHeader class="java.lang.String">Host: api.test
</requestHeader>
  <assertionResult>
    <name>a</name>
    <failure>true</failure>
    <failureMessage>expected &lt;ok&gt;</failureMessage>
  </assertionResult>
  <java.net.URL>https://api.test/get?q=a+b&amp;z=%24%7Bundef%7D</java.net.URL>
</httpSample>
<sample t="30" it="0" lt="0" ct="0" ts="1795291543000" s="true" lb="tx" rc="200" rm="Number of samples in transaction : 1, number of failing samples : 0" tn="TG 1-1" by="242" sby="500">
  <httpSample t="30" ts="1795291543000" s="true" lb="redir" rc="200" rm="OK" tn="TG 1-1" by="242" sby="500">
    <httpSample t="10" ts="1795291543000" s="true" lb="redir-0" rc="302" rm="Found" tn="TG 1-1" by="121" sby="250">
      <java.net.URL>https://api.test/r</java.net.URL>
    </httpSample>
    <java.net.URL>https://api.test/x</java.net.URL>
  </httpSample>
</sample>
"#;

    #[test]
    fn samples_are_rows_and_their_parts_are_theirs() {
        let jtl = parse("x.jtl", format!("{FILE}\n</testResults>\n").as_bytes()).unwrap();
        assert_eq!(jtl.malformed, []);
        let first = &jtl.rows[0];
        assert_eq!((first.line, first.start_ms, first.elapsed_ms), (3, 1_795_291_542_966, 313));
        assert_eq!((first.label.as_str(), first.code.as_str(), first.success), ("post \"json\"", "400", false));
        assert_eq!(first.url.as_deref(), Some("https://api.test/get?q=a+b&z=%24%7Bundef%7D"));
        assert_eq!((first.failure.as_str(), first.sent_bytes), ("expected <ok>", Some(272)));
        let roles: Vec<Role> = jtl.rows.iter().map(|row| row.role).collect();
        assert_eq!(roles, [Role::Sample, Role::Transaction, Role::Parent, Role::Part]);
        assert_eq!(jtl.rows[2].url.as_deref(), Some("https://api.test/x"));
    }

    #[test]
    fn a_file_that_ends_in_the_middle_gives_what_is_whole() {
        let cut = FILE.find("    <java.net.URL>https://api.test/x").unwrap();
        let jtl = parse("x.jtl", &FILE.as_bytes()[..cut]).unwrap();
        assert_eq!(jtl.rows.len(), 1);
        assert!(jtl.malformed.last().unwrap().why.contains("ends in the middle"), "{:?}", jtl.malformed);
    }

    #[test]
    fn samples_that_cannot_be_read_are_told_and_no_rows() {
        let text = FILE.replace("t=\"313\"", "t=\"many\"").replace("\n", "\r\n");
        let jtl = parse("x.jtl", format!("{text}</testResults>\r\n").as_bytes()).unwrap();
        let told: Vec<(u64, &str)> = jtl.malformed.iter().map(|one| (one.line, one.why.as_str())).collect();
        assert_eq!(told, [(3, "t is \"many\", no number")]);
        let rows: Vec<(&str, Role)> = jtl.rows.iter().map(|row| (row.label.as_str(), row.role)).collect();
        assert_eq!(rows, [("tx", Role::Transaction), ("redir", Role::Parent), ("redir-0", Role::Part)]);
        let all = format!("<testResults>{}</testResults>", "<sample t=\"x\"/>".repeat(1200));
        let jtl = parse("x.jtl", all.as_bytes()).unwrap();
        assert_eq!((jtl.rows.len(), jtl.malformed.len(), jtl.malformed_more), (0, 1000, 200));
    }

    #[test]
    fn other_xml_is_refused() {
        let error = parse("x.jmx", b"<?xml version=\"1.0\"?><jmeterTestPlan/>").unwrap_err().to_string();
        assert!(error.contains("<jmeterTestPlan>") && error.contains("hint"), "{error}");
    }
}
