//! A JTL in CSV: any columns in any order, with or without a header, any of JMeter's delimiters, fields over several lines.

use super::{Error, Jtl, Lacks, Row, lines::Lines, time};

/// The columns of JMeter 5, in the order in which it writes them by default.
pub const COLUMNS: &[&str] = &[
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "dataType",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "grpThreads",
    "allThreads",
    "URL",
    "Latency",
    "IdleTime",
    "Connect",
];
const DELIMITERS: &[u8] = b",;\t|";

/// Reads a JTL from its bytes; `name` is for messages.
///
/// # Errors
/// Where it is no JTL in CSV. Lines that are no rows are none: they are in [`Jtl::malformed`].
pub fn parse(name: &str, bytes: &[u8]) -> Result<Jtl, Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let refuse = |found: String, hint| Err(Error::Format { path: name.to_owned(), found, hint });
    if first.trim().is_empty() {
        return refuse("it is empty".to_owned(), "did the run write it? -l FILE");
    }
    let (delimiter, columns) = match header(&first) {
        Some(found) => found,
        None => match DELIMITERS.iter().find(|delimiter| split(bytes, **delimiter).len() == COLUMNS.len()) {
            Some(delimiter) => (*delimiter, None),
            None => {
                let found = format!("its first line {:?} names no columns that JMeter knows", shown(&first));
                return refuse(found, "a file without a header must have the default columns of JMeter 5");
            }
        },
    };
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(columns.is_some())
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(bytes);
    let names: Vec<String> = columns.unwrap_or_else(|| COLUMNS.iter().map(|name| (*name).to_owned()).collect());
    let places = Places::of(&names);
    let lacks = Lacks {
        time: places.time.is_none(),
        code: places.code.is_none(),
        thread: places.thread.is_none(),
        url: places.url.is_none(),
    };
    let mut jtl = Jtl { zoned: true, lacks, ..Jtl::default() };
    let mut lines = Lines::new(bytes);
    let mut record = ::csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                jtl.refuse(line_of(&mut lines, bytes, reader.position().byte()), error.to_string());
                if reader.is_done() {
                    break;
                }
                continue;
            }
        }
        let line = record.position().map_or(0, |place| line_of(&mut lines, bytes, place.byte()));
        match places.row(&record, line, names.len()) {
            Ok((row, zoned)) => {
                jtl.zoned &= zoned;
                jtl.rows.push(row);
            }
            Err(why) => jtl.refuse(line, why),
        }
    }
    jtl.assign_roles();
    Ok(jtl)
}

/// The line of the record that is said to begin there. What ends the line before may still stand there (the second byte of
/// CRLF), and so may empty lines.
fn line_of(lines: &mut Lines<'_>, bytes: &[u8], begin: u64) -> u64 {
    let begin = usize::try_from(begin).unwrap_or(usize::MAX);
    let ends = bytes.get(begin..).unwrap_or_default().iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    lines.of(begin.saturating_add(ends))
}

/// The delimiter and the columns that a first line names, if it names any.
fn header(first: &str) -> Option<(u8, Option<Vec<String>>)> {
    DELIMITERS.iter().find_map(|delimiter| {
        let names = split(first.as_bytes(), *delimiter);
        let known = names.iter().filter(|name| COLUMNS.contains(&name.as_str())).count();
        let needed = names.iter().any(|name| name == "timeStamp") || names.iter().any(|name| name == "elapsed");
        (needed && (known >= 2 || names.len() == 1)).then_some((*delimiter, Some(names)))
    })
}

/// The fields of the first record, which may go over several lines.
fn split(text: &[u8], delimiter: u8) -> Vec<String> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(text);
    let mut record = ::csv::ByteRecord::new();
    let read = reader.read_byte_record(&mut record).unwrap_or(false);
    let fields = record.iter().filter(|_| read).map(|name| String::from_utf8_lossy(name).trim().to_owned());
    fields.collect()
}

/// Where the columns stand.
struct Places {
    time: Option<usize>,
    elapsed: Option<usize>,
    label: Option<usize>,
    code: Option<usize>,
    message: Option<usize>,
    thread: Option<usize>,
    success: Option<usize>,
    failure: Option<usize>,
    bytes: Option<usize>,
    sent: Option<usize>,
    url: Option<usize>,
    latency: Option<usize>,
    idle: Option<usize>,
    connect: Option<usize>,
}

impl Places {
    fn of(names: &[String]) -> Self {
        let at = |name: &str| names.iter().position(|known| known == name);
        Self {
            time: at("timeStamp"),
            elapsed: at("elapsed"),
            label: at("label"),
            code: at("responseCode"),
            message: at("responseMessage"),
            thread: at("threadName"),
            success: at("success"),
            failure: at("failureMessage"),
            bytes: at("bytes"),
            sent: at("sentBytes"),
            url: at("URL"),
            latency: at("Latency"),
            idle: at("IdleTime"),
            connect: at("Connect"),
        }
    }

    fn row(&self, record: &::csv::ByteRecord, line: u64, columns: usize) -> Result<(Row, bool), String> {
        if record.len() != columns {
            return Err(format!("{} fields, expected {columns}", record.len()));
        }
        let text = |at: Option<usize>| {
            at.and_then(|at| record.get(at))
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default()
        };
        let number = |name: &str, at: Option<usize>| match text(at).trim() {
            "" => Ok(None),
            digits => digits.parse::<i64>().map(Some).map_err(|_| format!("{name} is {:?}, no number", shown(digits))),
        };
        let size = |name, at| number(name, at).map(|size| size.and_then(|size| u64::try_from(size).ok()));
        let (start_ms, zoned) = match text(self.time).as_str() {
            "" if self.time.is_none() => (0, true),
            written => time::parse(written).ok_or_else(|| format!("timeStamp is {:?}, no time", shown(written)))?,
        };
        let success = match text(self.success).trim() {
            "true" => true,
            "false" => false,
            // Without the column, the code tells.
            "" if self.success.is_none() => text(self.code).parse::<u16>().is_ok_and(|code| code < 400),
            other => return Err(format!("success is {:?}, expected true or false", shown(other))),
        };
        let row = Row {
            line,
            start_ms,
            elapsed_ms: number("elapsed", self.elapsed)?.unwrap_or(0),
            label: text(self.label),
            code: text(self.code),
            message: text(self.message),
            thread: text(self.thread),
            success,
            failure: text(self.failure),
            bytes: size("bytes", self.bytes)?,
            sent_bytes: size("sentBytes", self.sent)?,
            url: Some(text(self.url)).filter(|url| !url.is_empty() && url != "null"),
            latency_ms: number("Latency", self.latency)?,
            idle_ms: number("IdleTime", self.idle)?,
            connect_ms: number("Connect", self.connect)?,
            role: super::Role::Sample,
        };
        Ok((row, zoned))
    }
}

/// The beginning of a text, for messages.
fn shown(text: &str) -> String {
    let mut shown: String = text.trim_end().chars().take(60).collect();
    if shown.len() < text.trim_end().len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::import::Role;

    const HEADER: &str = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,sentBytes,grpThreads,allThreads,URL,Latency,IdleTime,Connect";

    fn jtl(text: &str) -> Jtl {
        parse("x.jtl", text.as_bytes()).unwrap()
    }

    #[test]
    fn columns_are_found_by_name_and_may_be_few() {
        let few = jtl("label;elapsed;timeStamp;success\n\"a;b\";12;1795291166013;false\n");
        let Row { label, elapsed_ms, start_ms, success, .. } = &few.rows[0];
        assert_eq!((label.as_str(), *elapsed_ms, *start_ms, *success), ("a;b", 12, 1_795_291_166_013, false));
        assert_eq!(few.rows[0].sent_bytes, None);
    }

    #[test]
    fn fields_go_over_lines_and_without_a_header_the_default_columns_are_meant() {
        let line = "1795291166013,269,post json,400,Bad Request,TG 1-1,text,false,\"expected \"\"a\"\"\ngot b\",121,272,1,1,https://api.test/meta,265,0,14";
        for text in [format!("{HEADER}\n{line}\n{line}\n"), format!("{line}\n{line}\n")] {
            let jtl = jtl(&text);
            assert_eq!(jtl.rows.len(), 2, "{text}");
            assert_eq!(jtl.rows[1].failure, "expected \"a\"\ngot b");
            assert_eq!(jtl.malformed, []);
        }
    }

    #[test]
    fn lines_that_are_no_rows_are_told() {
        let good = "1795291166013,269,a,200,OK,TG 1-1,text,true,,121,272,1,1,https://api.test/meta,265,0,14";
        let text = format!("{HEADER}\n{good}\nhalf,a,row\n{}\n{good}\n", good.replace(",269,", ",many,"));
        let jtl = jtl(&text);
        assert_eq!(jtl.rows.len(), 2);
        let told: Vec<(u64, &str)> = jtl.malformed.iter().map(|one| (one.line, one.why.as_str())).collect();
        assert_eq!(told, [(3, "3 fields, expected 17"), (4, "elapsed is \"many\", no number")]);
    }

    #[test]
    fn lines_are_counted_however_they_end() {
        let good = "1795291166013,269,a,200,OK,TG 1-1,text,true,,121,272,1,1,https://api.test/meta,265,0,14";
        let text = format!("{HEADER}\n{good}\nhalf,a,row\n\n{good}\n");
        for text in [text.replace('\n', "\r\n"), text] {
            let jtl = jtl(&text);
            let lines: Vec<u64> = jtl.rows.iter().map(|row| row.line).collect();
            assert_eq!((lines, jtl.malformed[0].line), (vec![2, 5], 3), "{text:?}");
        }
    }

    #[test]
    fn columns_that_are_not_there_are_known() {
        let jtl = jtl("elapsed,label\n12,a\n");
        assert_eq!(jtl.lacks, Lacks { time: true, code: true, thread: true, url: true });
        assert_eq!(self::jtl(&format!("{HEADER}\n")).lacks, Lacks::default());
    }

    #[test]
    fn what_is_no_jtl_is_refused_with_a_hint() {
        for (text, found) in [("", "empty"), ("hello world\n1,2\n", "names no columns")] {
            let error = parse("x.jtl", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("hint"), "{error}");
        }
    }

    #[test]
    fn transactions_and_parents_are_no_requests() {
        let row = |start: i64, elapsed: i64, label: &str, message: &str, url: &str| {
            format!("{start},{elapsed},{label},200,{message},TG 1-1,text,true,,121,272,1,1,{url},1,0,1\n")
        };
        let text = [
            HEADER,
            "\n",
            &row(1000, 30, "redir", "OK", "https://a/x"),
            &row(1000, 10, "redir-0", "Found", "https://a/r"),
            &row(1010, 20, "redir-1", "OK", "https://a/x"),
            &row(1000, 31, "tx", "\"Number of samples in transaction : 1, number of failing samples : 0\"", "null"),
            &row(1040, 1, "redir-0", "OK", "https://a/x"),
        ]
        .concat();
        let roles: Vec<Role> = jtl(&text).rows.iter().map(|row| row.role).collect();
        assert_eq!(roles, [Role::Parent, Role::Part, Role::Part, Role::Transaction, Role::Sample]);
    }
}
