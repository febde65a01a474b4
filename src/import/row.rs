//! One row of a JTL, and all of them.

/// A sample as JMeter saw it. Times are milliseconds since 1970, or as [`Jtl::zoned`] says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: u64,
    /// When it began.
    pub start_ms: i64,
    /// How long it took.
    pub elapsed_ms: i64,
    /// The sampler's name.
    pub label: String,
    /// The status, or what JMeter says in its place.
    pub code: String,
    /// The reason phrase, or what JMeter says in its place.
    pub message: String,
    /// `group 1-7`.
    pub thread: String,
    /// Whether JMeter took it for a success.
    pub success: bool,
    /// Why an assertion failed.
    pub failure: String,
    /// Bytes received.
    pub bytes: Option<u64>,
    /// Bytes sent, CONNECT excluded.
    pub sent_bytes: Option<u64>,
    /// Where JMeter meant to send it; none for sockets and transactions.
    pub url: Option<String>,
    /// From its begin to the first byte of the answer's body.
    pub latency_ms: Option<i64>,
    /// Time of it that was spent idle.
    pub idle_ms: Option<i64>,
    /// Time until the connection stood; through a proxy, that to the proxy.
    pub connect_ms: Option<i64>,
    /// What kind of row it is.
    pub role: Role,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A sample.
    #[default]
    Sample,
    /// A transaction controller's sum of other rows: no request.
    Transaction,
    /// A sample whose parts have rows of their own (`redir` beside `redir-0`, `redir-1`): no request of its own.
    Parent,
    /// A part of the row before it.
    Part,
}

impl Row {
    /// When it ended.
    pub fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add(self.elapsed_ms)
    }

    /// Whether it can be a request on the wire.
    pub fn is_request(&self) -> bool {
        matches!(self.role, Role::Sample | Role::Part)
    }

    /// What it says of the network. JMeter notes what was sent once an answer came: a request that failed on its way, and
    /// an upgrade that was refused, are rows with no bytes sent.
    pub fn network(&self, lacks: Lacks) -> Network {
        let failed = self.code.strip_prefix(EXCEPTION).unwrap_or_default();
        let before = |name: &&str| failed.rsplit('.').next().is_some_and(|class| class == *name);
        let sampler = self.code == "Sampler error";
        let setup = self.code == IO_ERROR && SETUP.iter().any(|words| self.message.contains(words));
        match self.sent_bytes {
            Some(bytes) if bytes > 0 => Network::Sent(bytes),
            _ if (self.start_ms <= 0 && !lacks.time) || sampler || setup || BEFORE.iter().any(before) => Network::Never,
            _ => Network::Unsaid,
        }
    }
}

/// What a row says of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// That so many bytes were sent, CONNECT excluded.
    Sent(u64),
    /// That nothing can have been sent.
    Never,
    /// Nothing.
    Unsaid,
}

/// With what the code of a request begins that failed; a class of Java follows.
const EXCEPTION: &str = "Non HTTP response code: ";
/// The code of a socket's sampler that failed.
pub(super) const IO_ERROR: &str = "Websocket I/O error";
/// Exceptions that come before anything is sent.
const BEFORE: &[&str] = &[
    "ClientProtocolException",
    "ConnectException",
    "ConnectTimeoutException",
    "HttpHostConnectException",
    "IllegalArgumentException",
    "MalformedURLException",
    "SSLException",
    "SSLHandshakeException",
    "URISyntaxException",
    "UnknownHostException",
];
/// What a socket's sampler says where no connection came about: `Socket is closed` is a TLS handshake that failed.
const SETUP: &[&str] = &["Proxy connection setup error", "Socket is closed"];

/// A line that is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// From 1.
    pub line: u64,
    /// What is wrong.
    pub why: String,
}

/// Lines that are no rows are kept with their reason up to here; the others are counted alone.
const KEPT: usize = 1000;

/// Columns that a file has not: that a row says nothing there means nothing then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// `timeStamp`
    pub time: bool,
    /// `responseCode`
    pub code: bool,
    /// `threadName`
    pub thread: bool,
    /// `URL`
    pub url: bool,
}

/// A JTL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jtl {
    /// Its rows, as they stand in it.
    pub rows: Vec<Row>,
    /// Lines that are none, the first of them.
    pub malformed: Vec<Malformed>,
    /// How many more there are.
    pub malformed_more: usize,
    /// What nothing is said of.
    pub lacks: Lacks,
    /// Whether times were written without a zone: they are then taken for UTC, and off by the zone.
    pub zoned: bool,
}

impl Jtl {
    /// One more line that is no row.
    pub(super) fn refuse(&mut self, line: u64, why: String) {
        if self.malformed.len() < KEPT {
            self.malformed.push(Malformed { line, why });
        } else {
            self.malformed_more += 1;
        }
    }

    /// First begin and last end; nothing where no row has a time.
    pub fn span_ms(&self) -> Option<(i64, i64)> {
        let timed = || self.rows.iter().filter(|row| row.start_ms > 0);
        Some((timed().map(|row| row.start_ms).min()?, timed().map(Row::end_ms).max()?))
    }

    /// Where times bear no zone: moves them by the quarter-hours that bring them nearest to `near_ms`, at most 14 h.
    pub fn move_to(&mut self, near_ms: i64) {
        const QUARTER: i64 = 15 * 60 * 1000;
        let Some((first, _)) = self.span_ms().filter(|_| !self.zoned) else { return };
        let quarters = ((near_ms - first) as f64 / QUARTER as f64).round() as i64;
        let by = quarters.clamp(-56, 56) * QUARTER;
        self.rows.iter_mut().filter(|row| row.start_ms > 0).for_each(|row| row.start_ms += by);
    }

    /// Says of each row what it stands for.
    pub(super) fn assign_roles(&mut self) {
        for row in &mut self.rows {
            if row.url.is_none() && row.message.starts_with("Number of samples in transaction") {
                row.role = Role::Transaction;
            }
        }
        // Parts follow their parent: `redir`, `redir-0`, `redir-1`, of one thread.
        let mut at = 0;
        while at < self.rows.len() {
            let parts = self.parts_behind(at);
            if parts > 0 {
                for (offset, row) in self.rows.iter_mut().skip(at).take(parts + 1).enumerate() {
                    row.role = if offset == 0 { Role::Parent } else { Role::Part };
                }
            }
            at += parts + 1;
        }
    }

    fn parts_behind(&self, at: usize) -> usize {
        let Some(parent) = self.rows.get(at).filter(|row| row.role == Role::Sample) else { return 0 };
        let is_part = |(number, row): &(usize, &Row)| {
            row.thread == parent.thread
                && row.label.strip_prefix(parent.label.as_str()).and_then(|rest| rest.strip_prefix('-'))
                    == Some(number.to_string().as_str())
                && row.start_ms >= parent.start_ms
                && row.end_ms() <= parent.end_ms() + 1
        };
        let behind = self.rows.get(at + 1..).unwrap_or_default();
        behind.iter().enumerate().take_while(is_part).count()
    }
}
