//! Which row is which exchange. A TCP connection belongs to one JMeter thread, and nothing on the wire names it; but the
//! bytes sent are exactly those of the row, and rows end when exchanges do. So each connection's ordered exchanges are
//! laid against each thread's ordered rows, and the thread that fits best has it. Identity headers name the thread and
//! the sampler outright.

use std::collections::{BTreeMap, HashMap};

use super::{
    Jtl, Lacks, Role, Row,
    row::{IO_ERROR, Network},
};

/// An exchange as far as rows can know it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// Its id.
    pub id: u64,
    /// Its connection.
    pub connection: u64,
    /// The path, without query; secrets may be fingerprints.
    pub path: String,
    /// Bytes of the request as the client sent it, head and body.
    pub sent_bytes: u64,
    /// When the answer had ended, milliseconds since 1970; of an upgrade, when the 101 had.
    pub end_ms: f64,
    /// The status.
    pub status: Option<u16>,
    /// Whether it asked for a WebSocket.
    pub upgrade: bool,
    /// Who the identity headers say sent it.
    pub thread: Option<String>,
    /// The sampler that the identity headers name.
    pub sampler: Option<String>,
}

/// What belongs together, and what does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// Index of a row and id of its exchange, by row.
    pub pairs: Vec<(usize, u64)>,
    /// Rows of requests that sent nothing by their own word: they never reached the network.
    pub never_sent: Vec<usize>,
    /// Other rows of requests that are not in the capture.
    pub not_found: Vec<usize>,
    /// Rows of frames on sockets (write, read, close samplers): they are in the capture as frames.
    pub on_sockets: Vec<usize>,
    /// Rows that stand for others: transactions, and samples whose parts have rows.
    pub summed: Vec<usize>,
    /// Exchanges that no row is about.
    pub without_row: Vec<u64>,
    /// Pairs whose row says another code than the wire.
    pub differing: Vec<(usize, u64)>,
}

/// How far the ends of a row and its exchange may lie apart, in milliseconds: measured −6 to 54 on a loaded machine.
const EARLY: f64 = -500.0;
const LATE: f64 = 3000.0;
/// So many milliseconds more a row seems apart that says another code.
const ANOTHER_CODE: f64 = 1000.0;
/// Exchanges of a connection by which threads are found that may have it.
const SAMPLED: usize = 24;
/// Rows that ended before and behind an exchange by which threads are found.
const NEAR_BEFORE: usize = 64;
const NEAR_BEHIND: usize = 256;
/// How often connections are offered again whose rows another one turned out to have.
const ROUNDS: usize = 16;
/// Threads that are laid against a connection.
const TRIED: usize = 6;

/// Joins a JTL with what was sent.
pub fn join(jtl: &Jtl, sent: &[Sent]) -> Joined {
    let mut joined = Joined::default();
    let mut threads: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut thread_numbers: HashMap<&str, usize> = HashMap::new();
    let mut clues = Clues::default();
    for (at, row) in jtl.rows.iter().enumerate() {
        if !row.is_request() {
            joined.summed.push(at);
            continue;
        }
        let number = *thread_numbers.entry(&row.thread).or_insert_with(|| {
            threads.push((&row.thread, Vec::new()));
            threads.len() - 1
        });
        if let Some((_, rows)) = threads.get_mut(number) {
            rows.push(at);
        }
        match row.network(jtl.lacks) {
            Network::Sent(bytes) => clues.by_bytes.entry(bytes).or_default().push((row.end_ms(), number, at)),
            Network::Unsaid => clues.unsaid.push((row.end_ms(), number, at)),
            Network::Never => {}
        }
        if is_open(row) {
            clues.unsaid.push((row.end_ms(), number, at));
        }
    }
    clues.sort();
    for (_, rows) in &mut threads {
        rows.sort_by_key(|at| jtl.rows.get(*at).map_or(0, |row| (row.end_ms(), row.line as i64).0));
    }
    let mut connections: BTreeMap<u64, Vec<&Sent>> = BTreeMap::new();
    sent.iter().for_each(|one| connections.entry(one.connection).or_default().push(one));

    for exchanges in connections.values_mut() {
        exchanges.sort_by(|a, b| a.end_ms.total_cmp(&b.end_ms));
    }
    let mut taken = vec![false; jtl.rows.len()];
    for round in 1..=ROUNDS {
        let before = connections.len();
        let offers = offers(jtl, &connections, &threads, &clues, &taken);
        for (pairs, apart, connection, number) in offers {
            let (Some((_, rows)), Some(exchanges)) = (threads.get(number), connections.get(&connection)) else {
                continue;
            };
            let found = align(jtl, rows, exchanges, &taken);
            // Another connection has what was offered: whose those rows are that are left is for the next round.
            let is_worse = found.len() < pairs || total_distance(jtl, &found, exchanges) > apart;
            if found.is_empty() || (is_worse && round < ROUNDS) {
                continue;
            }
            for (row, at) in found {
                let Some(exchange) = exchanges.get(at) else { continue };
                if let Some(slot) = taken.get_mut(row) {
                    *slot = true;
                }
                joined.pairs.push((row, exchange.id));
                let code = jtl.rows.get(row).map(|row| row.code.as_str()).unwrap_or_default();
                if !jtl.lacks.code && exchange.status.map(|status| status.to_string()).as_deref() != Some(code) {
                    joined.differing.push((row, exchange.id));
                }
            }
            connections.remove(&connection);
        }
        if connections.len() == before {
            break;
        }
    }
    joined.pairs.sort_unstable();
    joined.differing.sort_unstable();
    leftovers(jtl, sent, &taken, &mut joined);
    joined
}

/// What threads could have of connections, the surest first: most pairs, then nearest ends.
fn offers(
    jtl: &Jtl,
    connections: &BTreeMap<u64, Vec<&Sent>>,
    threads: &[(&str, Vec<usize>)],
    clues: &Clues,
    taken: &[bool],
) -> Vec<(usize, i64, u64, usize)> {
    let mut offers = Vec::new();
    for (connection, exchanges) in connections {
        for number in candidates(jtl, exchanges, threads, clues, taken) {
            let Some((_, rows)) = threads.get(number) else { continue };
            let pairs = align(jtl, rows, exchanges, taken);
            if !pairs.is_empty() {
                offers.push((pairs.len(), total_distance(jtl, &pairs, exchanges), *connection, number));
            }
        }
    }
    offers.sort_by_key(|(pairs, apart, connection, number)| (usize::MAX - pairs, *apart, *connection, *number));
    offers
}

/// The threads that may have a connection: those named by it, else those whose rows look most like its exchanges.
fn candidates(
    jtl: &Jtl,
    exchanges: &[&Sent],
    threads: &[(&str, Vec<usize>)],
    clues: &Clues,
    taken: &[bool],
) -> Vec<usize> {
    if let Some(named) = exchanges.iter().find_map(|exchange| exchange.thread.as_deref()) {
        let found = |(_, (name, _)): &(usize, &(&str, Vec<usize>))| is_thread(named, name);
        let found: Vec<usize> = threads.iter().enumerate().filter(found).map(|(number, _)| number).collect();
        if !found.is_empty() {
            return found;
        }
    }
    let mut votes: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
    let step = exchanges.len().div_ceil(SAMPLED).max(1);
    for exchange in exchanges.iter().step_by(step) {
        let mut nearest: BTreeMap<usize, f64> = BTreeMap::new();
        for (number, at) in clues.of(exchange).filter(|(_, at)| !taken.get(*at).copied().unwrap_or(true)) {
            let Some(row) = jtl.rows.get(at) else { continue };
            let apart = (row.end_ms() as f64 - exchange.end_ms).abs();
            if nearest.get(&number).is_some_and(|least| *least <= apart) || !fits(row, exchange, jtl.lacks) {
                continue;
            }
            nearest.entry(number).and_modify(|least| *least = least.min(apart)).or_insert(apart);
        }
        for (number, apart) in nearest {
            let (count, sum) = votes.entry(number).or_default();
            (*count, *sum) = (*count + 1, *sum + apart);
        }
    }
    let mut best: Vec<(usize, (usize, f64))> = votes.into_iter().collect();
    best.sort_by(|(_, (a, a_apart)), (_, (b, b_apart))| b.cmp(a).then(a_apart.total_cmp(b_apart)));
    best.truncate(TRIED);
    best.into_iter().map(|(number, _)| number).collect()
}

/// Rows with their end and the number of their thread, for a first guess.
#[derive(Default)]
struct Clues {
    /// By what they sent.
    by_bytes: HashMap<u64, Vec<(i64, usize, usize)>>,
    /// Those that do not say it.
    unsaid: Vec<(i64, usize, usize)>,
}

impl Clues {
    fn sort(&mut self) {
        self.unsaid.sort_unstable();
        self.by_bytes.values_mut().for_each(|rows| rows.sort_unstable());
    }

    /// Threads and rows that may be of that exchange.
    fn of(&self, exchange: &Sent) -> impl Iterator<Item = (usize, usize)> {
        let said = self.by_bytes.get(&exchange.sent_bytes).map(Vec::as_slice).unwrap_or_default();
        near(said, exchange).iter().chain(near(&self.unsaid, exchange)).map(|(_, number, at)| (*number, *at))
    }
}

/// Those of the rows that ended with that exchange. Nearly all ends lie close by: of those that only may be, as many as a
/// guess needs.
fn near<'r>(rows: &'r [(i64, usize, usize)], exchange: &Sent) -> &'r [(i64, usize, usize)] {
    let before = |time: f64| rows.partition_point(|(end, ..)| (*end as f64) < time);
    let at = before(exchange.end_ms);
    let first = before(exchange.end_ms + EARLY).max(at.saturating_sub(NEAR_BEFORE));
    let last = before(exchange.end_ms + LATE + 1.0).min(at.saturating_add(NEAR_BEHIND));
    rows.get(first..last).unwrap_or_default()
}

/// Whether `group/7@host`, as the header has it, is `group 1-7`, as the rows have it (with `host-` before, where engines
/// are remote).
fn is_thread(header: &str, thread: &str) -> bool {
    let name = header.rsplit_once('@').map_or(header, |(name, _)| name);
    let Some((group, number)) = name.rsplit_once('/') else { return header == thread };
    let Some((row_group, place)) = thread.rsplit_once(' ') else { return false };
    let same_number = place.rsplit_once('-').is_some_and(|(_, row_number)| row_number == number);
    same_number && (row_group == group || row_group.ends_with(&format!("-{group}")))
}

/// Lays a thread's rows against a connection's exchanges, both in order; indices of rows and of exchanges.
fn align(jtl: &Jtl, of_thread: &[usize], exchanges: &[&Sent], taken: &[bool]) -> Vec<(usize, usize)> {
    let end = |row: &usize| jtl.rows.get(*row).map_or(f64::MAX, |row| row.end_ms() as f64);
    let mut pairs = Vec::new();
    let mut next = 0;
    for (at, exchange) in exchanges.iter().enumerate() {
        // Rows end in order: those that ended long before need not be looked at.
        let behind = of_thread.get(next..).unwrap_or_default();
        next += behind.partition_point(|row| end(row) < exchange.end_ms + EARLY);
        let mut nearest: Option<(f64, usize, usize)> = None;
        for (offset, row) in of_thread.get(next..).unwrap_or_default().iter().enumerate() {
            let late = end(row) - exchange.end_ms;
            if late > LATE || nearest.is_some_and(|(apart, ..)| late >= apart) {
                break;
            }
            // Where no threads tell rows apart, one that says another code is another's sooner than one that ended later.
            let differs = jtl.lacks.thread
                && !jtl.lacks.code
                && jtl.rows.get(*row).is_some_and(|row| row.code.parse().ok() != exchange.status);
            let apart = late.abs() + if differs { ANOTHER_CODE } else { 0.0 };
            if nearest.is_none_or(|(least, ..)| apart < least)
                && !taken.get(*row).copied().unwrap_or(true)
                && jtl.rows.get(*row).is_some_and(|row| fits(row, exchange, jtl.lacks))
            {
                nearest = Some((apart, offset, *row));
            }
        }
        if let Some((_, offset, row)) = nearest {
            pairs.push((row, at));
            next += offset + 1;
        }
    }
    pairs
}

/// How far the ends of all pairs lie apart, in whole milliseconds.
fn total_distance(jtl: &Jtl, pairs: &[(usize, usize)], exchanges: &[&Sent]) -> i64 {
    let distance = |(row, at): &(usize, usize)| match (jtl.rows.get(*row), exchanges.get(*at)) {
        (Some(row), Some(exchange)) => (row.end_ms() as f64 - exchange.end_ms).abs(),
        _ => 0.0,
    };
    pairs.iter().map(distance).sum::<f64>() as i64
}

/// Whether a row can be that exchange: the same bytes sent (the same outcome where the row does not say it), at the same
/// time, to the same path as far as both know it.
fn fits(row: &Row, exchange: &Sent, lacks: Lacks) -> bool {
    let apart = row.end_ms() as f64 - exchange.end_ms;
    let bytes = match row.network(lacks) {
        Network::Sent(bytes) if bytes == exchange.sent_bytes => true,
        // A sampler that opens, writes and reads counts what it wrote alone.
        Network::Sent(bytes) => {
            bytes < exchange.sent_bytes && is_open(row) && exchange.upgrade && exchange.status == Some(101)
        }
        Network::Unsaid => same_outcome(row, exchange, lacks),
        Network::Never => false,
    };
    let sampler = exchange.sampler.as_ref().is_none_or(|sampler| row.label == *sampler || row.role == Role::Part);
    (EARLY..=LATE).contains(&apart) && bytes && sampler && same_path(row, exchange)
}

/// Whether it opened a socket, by its own word.
fn is_open(row: &Row) -> bool {
    row.url.is_none() && row.code == "101"
}

/// Whether a row that does not say what it sent ended as that exchange did. Samplers that open a socket have no URL; nor
/// have those that read from it, which are no exchange. Where there is no column for URLs, any row may have one.
fn same_outcome(row: &Row, exchange: &Sent, lacks: Lacks) -> bool {
    let same_code = exchange.status.is_some_and(|status| lacks.code || row.code.parse() == Ok(status));
    if row.url.is_none() && row.sent_bytes.is_none() && is_open(row) {
        return exchange.upgrade && same_code;
    }
    let url = row.url.as_deref().or_else(|| lacks.url.then_some(""));
    match (url, exchange.status) {
        (Some(_), None) => row.code.parse::<u16>().is_err(),
        (Some(_), Some(_)) => same_code,
        (None, _) if !exchange.upgrade || row.success => false,
        (None, None) => row.code == IO_ERROR,
        // What the plugin takes for no upgrade, as `Connection: keep-alive, Upgrade`.
        (None, Some(101)) => row.code.is_empty() && row.message.starts_with("Server response should"),
        (None, Some(_)) => same_code,
    }
}

fn same_path(row: &Row, exchange: &Sent) -> bool {
    let Some(url) = &row.url else { return true };
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // Clients collapse `//`; what was redacted can be compared by its length of segments alone.
    let mut ours = exchange.path.split('/').filter(|part| !part.is_empty());
    let mut theirs = path.split('/').filter(|part| !part.is_empty());
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (Some(ours), Some(theirs)) if ours == theirs || ours.contains("token:") || ours.contains("secret:") => {}
            _ => return false,
        }
    }
}

fn leftovers(jtl: &Jtl, sent: &[Sent], taken: &[bool], joined: &mut Joined) {
    for (at, row) in jtl.rows.iter().enumerate() {
        if !row.is_request() || taken.get(at).copied().unwrap_or(false) {
            continue;
        }
        if row.network(jtl.lacks) == Network::Never {
            joined.never_sent.push(at);
        } else if row.url.is_none()
            && !jtl.lacks.url
            && !is_open(row)
            && !row.message.starts_with("Got unexpected status")
        {
            joined.on_sockets.push(at);
        } else {
            joined.not_found.push(at);
        }
    }
    let mut with_row: Vec<u64> = joined.pairs.iter().map(|(_, id)| *id).collect();
    with_row.sort_unstable();
    joined.without_row = sent.iter().map(|one| one.id).filter(|id| with_row.binary_search(id).is_err()).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(thread: &str, end: i64, sent: u64, code: &str) -> Row {
        Row {
            start_ms: end - 5,
            elapsed_ms: 5,
            label: "post".into(),
            code: code.into(),
            thread: thread.into(),
            sent_bytes: Some(sent),
            bytes: Some(10),
            url: Some("https://api.test/a//b?q=1".into()),
            ..Row::default()
        }
    }

    fn sent(id: u64, connection: u64, end: f64, bytes: u64) -> Sent {
        let (path, status) = ("/a/b".into(), Some(200));
        Sent { id, connection, path, sent_bytes: bytes, end_ms: end, status, ..Sent::default() }
    }

    #[test]
    fn sequences_tell_threads_apart_where_single_rows_do_not() {
        // Both threads send the same sizes at nearly the same times; their order differs.
        let rows = vec![
            row("TG 1-1", 1000, 100, "200"),
            row("TG 1-2", 1001, 200, "200"),
            row("TG 1-1", 1010, 200, "200"),
            row("TG 1-2", 1011, 100, "200"),
            row("TG 1-1", 1020, 300, "400"),
        ];
        let jtl = Jtl { rows, ..Jtl::default() };
        let exchanges = [
            sent(1, 7, 1000.4, 100),
            sent(2, 8, 1000.6, 200),
            sent(3, 7, 1010.2, 200),
            sent(4, 8, 1010.8, 100),
            sent(5, 7, 1019.9, 300),
        ];
        let joined = join(&jtl, &exchanges);
        assert_eq!(joined.pairs, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
        assert_eq!(joined.differing, [(4, 5)]);
        assert!(joined.without_row.is_empty() && joined.not_found.is_empty());
    }

    #[test]
    fn what_is_left_over_says_why() {
        // As JMeter 5.6 writes them: the text of the exception counts as received.
        let mut never = row("TG 1-1", 1005, 0, "Non HTTP response code: java.net.URISyntaxException");
        never.bytes = Some(1190);
        let mut frame = row("TG 1-1", 1006, 12, "");
        frame.url = None;
        let mut transaction = row("TG 1-1", 1007, 100, "");
        transaction.role = Role::Transaction;
        let elsewhere = row("TG 1-1", 1008, 999, "200");
        let jtl = Jtl { rows: vec![never, frame, transaction, elsewhere], ..Jtl::default() };
        let joined = join(&jtl, &[sent(9, 1, 1005.0, 100)]);
        assert_eq!((joined.never_sent, joined.on_sockets), (vec![0], vec![1]));
        assert_eq!((joined.summed, joined.not_found, joined.without_row), (vec![2], vec![3], vec![9]));
    }

    /// Rows of the plugin as it writes them, from a run against a server that refuses.
    #[test]
    fn sockets_that_were_refused_are_exchanges() {
        let socket = |thread: &str, end, code: &str, message: &str, bytes, sent, success| Row {
            message: message.into(),
            bytes: Some(bytes),
            url: None,
            success,
            ..row(thread, end, sent, code)
        };
        let broken = "Server response should contain 'Connection' header with value 'Upgrade'";
        let rows = vec![
            socket(
                "TG 1-1",
                1000,
                "400",
                "Got unexpected status 400 with statusLine:HTTP/1.1 400 Bad Request",
                0,
                0,
                false,
            ),
            socket("TG 1-2", 1010, "", broken, 0, 0, false),
            socket("TG 1-3", 1020, IO_ERROR, "WebSocket I/O error: Read timed out", 0, 0, false),
            socket("TG 1-4", 1030, "101", "Switching Protocols", 138, 13, true),
            // On its socket: a read that came to nothing, one that may, a write, and a read of 101 bytes.
            socket("TG 1-4", 1031, IO_ERROR, "WebSocket I/O error: Read timed out", 0, 0, false),
            socket("TG 1-4", 1032, "No response", "Read timeout, no response received.", 0, 0, true),
            socket("TG 1-4", 1033, "200", "OK", 0, 23, true),
            socket("TG 1-4", 1034, "200", "OK", 101, 0, true),
            // None of these got as far as a server.
            socket("TG 1-5", 1040, IO_ERROR, "WebSocket I/O error: Socket is closed", 0, 0, false),
            socket("TG 1-6", 5, "Sampler error", "Sampler configured for using existing connection, but", 0, 0, false),
        ];
        let upgrade = |id, end, status| Sent { upgrade: true, status, ..sent(id, id, end, 304) };
        let exchanges = [
            upgrade(1, 999.0, Some(400)),
            upgrade(2, 1009.0, Some(101)),
            upgrade(3, 1019.0, None),
            upgrade(4, 1029.0, Some(101)),
        ];
        let joined = join(&Jtl { rows, ..Jtl::default() }, &exchanges);
        assert_eq!(joined.pairs, [(0, 1), (1, 2), (2, 3), (3, 4)]);
        assert_eq!(joined.differing, [(1, 2), (2, 3)]);
        assert_eq!((joined.on_sockets, joined.never_sent), (vec![4, 5, 6, 7], vec![8, 9]));
        assert!(joined.not_found.is_empty() && joined.without_row.is_empty());
    }

    #[test]
    fn requests_without_an_answer_are_exchanges() {
        let lost = "Non HTTP response code: org.apache.http.NoHttpResponseException";
        let rows = vec![row("TG 1-1", 1000, 0, lost), row("TG 1-1", 1500, 0, lost)];
        let unanswered = Sent { status: None, ..sent(1, 1, 999.0, 264) };
        let joined = join(&Jtl { rows, ..Jtl::default() }, &[unanswered]);
        assert_eq!((joined.pairs, joined.not_found), (vec![(0, 1)], vec![1]));
    }

    fn sent_to(id: u64, connection: u64, status: u16) -> Sent {
        Sent { status: Some(status), ..sent(id, connection, 999.0, 100) }
    }

    #[test]
    fn columns_that_are_not_there_hide_no_exchange() {
        let exchanges = [
            sent(1, 7, 999.0, 100),
            Sent { status: Some(400), ..sent(2, 8, 1000.0, 200) },
            sent(3, 7, 1009.0, 100),
            Sent { status: None, ..sent(4, 8, 1010.0, 200) },
        ];
        let lost = "Non HTTP response code: java.net.SocketTimeoutException";
        let rows = [
            row("TG 1-1", 1000, 100, "200"),
            row("TG 1-2", 1001, 200, "400"),
            row("TG 1-1", 1010, 100, "200"),
            row("TG 1-2", 1011, 200, lost),
        ];
        let urls = |row: &mut Row| row.url = None;
        let sent = |row: &mut Row| row.sent_bytes = None;
        let codes = |row: &mut Row| row.code = String::new();
        let threads = |row: &mut Row| row.thread = String::new();
        let without = |takes: &[&dyn Fn(&mut Row)], lacks: Lacks| {
            let mut rows = rows.to_vec();
            rows.iter_mut().for_each(|row| takes.iter().for_each(|take| take(row)));
            let joined = join(&Jtl { rows, lacks, ..Jtl::default() }, &exchanges);
            assert!(joined.never_sent.is_empty() && joined.on_sockets.is_empty(), "{joined:?}");
            joined.pairs
        };
        let all = [(0, 1), (1, 2), (2, 3), (3, 4)];
        let url = Lacks { url: true, ..Lacks::default() };
        let code = Lacks { code: true, ..Lacks::default() };
        assert_eq!(without(&[], Lacks::default()), all);
        assert_eq!(without(&[&sent], Lacks::default()), all);
        assert_eq!(without(&[&urls], url), all);
        assert_eq!(without(&[&urls, &sent], url), all);
        assert_eq!(without(&[&urls, &sent, &threads], url), all);
        assert_eq!(without(&[&codes], code), all);
        // Of rows that are alike, the code tells, where no thread does.
        let alike = |row: &mut Row| (row.thread, row.sent_bytes) = (String::new(), Some(100));
        let mut rows = rows[..2].to_vec();
        rows.iter_mut().for_each(alike);
        rows[1].start_ms -= 3;
        let exchanges = [sent_to(1, 7, 200), sent_to(2, 8, 400)];
        let lacks = Lacks { thread: true, ..Lacks::default() };
        assert_eq!(join(&Jtl { rows, lacks, ..Jtl::default() }, &exchanges).differing, []);
        // Without times nothing can be joined; that is no word on the network.
        let times = |row: &mut Row| (row.start_ms, row.elapsed_ms) = (0, 5);
        assert_eq!(without(&[&times, &sent], Lacks { time: true, ..Lacks::default() }), []);
        // Where the column is there, a row without URL is a socket's.
        let rows = vec![Row { url: None, sent_bytes: None, ..row("TG 1-1", 1000, 0, "200") }];
        assert_eq!(join(&Jtl { rows, ..Jtl::default() }, &[]).on_sockets, [0]);
    }

    /// What each exchange is laid against is bounded: this takes minutes otherwise.
    #[test]
    fn thousands_of_rows_that_are_alike_are_joined() {
        for says in [None, Some(100)] {
            let row = |at: i64| {
                let thread = format!("TG 1-{}", at % 500);
                Row { sent_bytes: says, ..row(&thread, 1000 + at / 10, 0, "200") }
            };
            let exchanges: Vec<Sent> = (0..3000).map(|at| sent(at, at, 999.5 + (at / 10) as f64, 100)).collect();
            let joined = join(&Jtl { rows: (0..3000).map(row).collect(), ..Jtl::default() }, &exchanges);
            let apart = joined.pairs.iter().filter(|(row, id)| (*row as u64 / 10).abs_diff(id / 10) > 1).count();
            let pairs = joined.pairs.len();
            assert!(pairs > 2950 && apart < 100, "{says:?}: {pairs}, {apart} of them far apart");
        }
    }

    #[test]
    fn identity_headers_name_the_thread() {
        assert!(is_thread("Screen recording/7@vm", "Screen recording 1-7"));
        assert!(is_thread("TG/2@vm", "127.0.0.1:21099-TG 1-2"));
        assert!(!is_thread("TG/2@vm", "TG 1-12"));
        let rows = vec![row("TG 1-1", 1000, 100, "200"), row("TG 1-2", 1000, 100, "200")];
        let jtl = Jtl { rows, ..Jtl::default() };
        let named =
            |id, connection, thread: &str| Sent { thread: Some(thread.into()), ..sent(id, connection, 1000.0, 100) };
        let joined = join(&jtl, &[named(1, 5, "TG/2@vm"), named(2, 6, "TG/1@vm")]);
        assert_eq!(joined.pairs, [(0, 2), (1, 1)]);
    }
}
