//! One session as a thread group.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use crate::redact::{Scrubber, lossy};

use super::{
    Item, Report, Request, Text, What,
    words::{Piece, Said, Values, cut, issued, literal, written},
    xml::{self, Prop, Xml},
};

const WS: &str = "eu.luminis.jmeter.wssampler.";
/// JMeter's samplers give up after this; what took longer in the capture gets three times as long.
const TIMEOUT_MS: u64 = 20_000;

/// A variable: where its value comes from.
struct Variable {
    name: String,
    path: String,
}

/// What of a session's values is issued by which item, and the names of all.
struct Issued {
    /// By the index of the item whose answer holds it.
    by_item: BTreeMap<usize, Vec<Variable>>,
    /// Value and name, by the index of the item after which it is known.
    known: BTreeMap<usize, Vec<(String, String)>>,
}

impl Issued {
    /// Values in answers that a later request of the session bears.
    fn find(items: &[Item]) -> Self {
        let mut issued_values: Values<(usize, String)> = Values::default();
        let mut found = Self { by_item: BTreeMap::new(), known: BTreeMap::new() };
        let mut named: BTreeSet<String> = BTreeSet::new();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut sent = Said::default();
        for (index, item) in items.iter().enumerate() {
            for text in said(item) {
                for value in issued_values.within(&text) {
                    let Some((from, path)) = issued_values.remove(&value) else { continue };
                    let name = name_of(&path, &mut taken);
                    found.by_item.entry(from).or_default().push(Variable { name: name.clone(), path });
                    found.known.entry(from).or_default().push((value.clone(), name));
                    named.insert(value);
                }
                sent.add(text);
            }
            let answer = match &item.what {
                What::Http { answer, .. } => answer.as_bytes(),
                What::Read { data, .. } => data.as_bytes(),
                _ => continue,
            };
            for (value, path) in issued(answer) {
                // An echo of what the client said first is not issued.
                if !named.contains(&value) && !sent.holds(&value) {
                    issued_values.add(value, (index, path));
                }
            }
        }
        found
    }
}

/// The texts that an item sends.
fn said(item: &Item) -> Vec<String> {
    match &item.what {
        What::Http { request, body, .. } => {
            let mut all = vec![request.path.clone(), body.text.clone()];
            all.extend(request.headers.iter().map(|(_, value)| value.clone()));
            all
        }
        What::Open { request } => {
            let mut all = vec![request.path.clone()];
            all.extend(request.headers.iter().map(|(_, value)| value.clone()));
            all
        }
        What::Write { data, .. } => vec![data.text.clone()],
        What::Read { .. } | What::Close { .. } => Vec::new(),
    }
}

/// `$['items'][0]['id']` gives `id_1`.
fn name_of(path: &str, taken: &mut BTreeSet<String>) -> String {
    let last = path.rsplit('\'').nth(1).unwrap_or("value");
    let base: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut number = 1;
    loop {
        let name = format!("{base}_{number}");
        if taken.insert(name.clone()) {
            return name;
        }
        number += 1;
    }
}

/// Writes a session, and notes the variables that stand for secrets.
pub(super) fn session(
    items: &[Item],
    start: u64,
    name: &str,
    scrubber: &mut Scrubber,
    report: &mut Report,
    xml: &mut Xml<'_>,
    secrets: &mut BTreeSet<(String, String)>,
) -> io::Result<()> {
    let mut issued = Issued::find(items);
    let mut writer = Writer { scrubber, report, secrets, variables: Values::default(), inside: 0 };
    let controller = "<elementProp name=\"ThreadGroup.main_controller\" elementType=\"LoopController\" guiclass=\"LoopControlPanel\" \
                      testclass=\"LoopController\" testname=\"Loop Controller\"><stringProp name=\"LoopController.loops\">1</stringProp>\
                      <boolProp name=\"LoopController.continue_forever\">false</boolProp></elementProp>";
    let group = [
        Prop::Text("ThreadGroup.num_threads", "1".to_owned()),
        Prop::Text("ThreadGroup.ramp_time", "0".to_owned()),
        Prop::Flag("ThreadGroup.same_user_on_next_iteration", true),
        Prop::Text("ThreadGroup.on_sample_error", "continue".to_owned()),
        Prop::Raw(controller.to_owned()),
    ];
    xml.down("ThreadGroup", "ThreadGroupGui", &literal(name), &group)?;
    let sockets = items.iter().filter(|item| matches!(item.what, What::Open { .. })).count();
    if sockets > 0 {
        let filter = [Prop::Text("filterType", "FilterPingOnly".to_owned()), Prop::Flag("replyToPing", true)];
        xml.leaf(&format!("{WS}PingFrameFilter"), &format!("{WS}PingFrameFilterGui"), "answers pings", &filter)?;
    }
    let mut before = start;
    let mut open: Option<u64> = None;
    for (index, item) in items.iter().enumerate() {
        for (value, name) in index.checked_sub(1).and_then(|before| issued.known.remove(&before)).unwrap_or_default() {
            writer.variables.add(value, name);
        }
        let pause = item.begin.saturating_sub(before) / 1_000_000;
        let none = Vec::new();
        let extract = issued.by_item.get(&index).unwrap_or(&none);
        if item.begin < before && !matches!(item.what, What::Read { .. }) {
            writer
                .report
                .left_out("overlaps: what was sent before the answer to what came before it comes after it", 1);
        }
        match &item.what {
            What::Http { request, body, .. } => writer.http(xml, item, request, body, pause, extract)?,
            What::Open { request } => {
                // The plugin has one socket for each thread: another one ends it.
                while writer.inside > 0 {
                    xml.up()?;
                    writer.inside -= 1;
                }
                if open.is_some() {
                    writer.report.left_out("sockets that were open beside another one: it ends when they begin", 1);
                }
                open = Some(item.exchange);
                writer.open(xml, item, request, pause)?;
                let condition = [
                    Prop::Text("IfController.condition", "${JMeterThread.last_sample_ok}".to_owned()),
                    Prop::Flag("IfController.evaluateAll", false),
                    Prop::Flag("IfController.useExpression", true),
                ];
                xml.down("IfController", "IfControllerPanel", "where the socket is open", &condition)?;
                writer.inside += 1;
            }
            _ if open != Some(item.exchange) => writer.report.left_out("messages of a socket beside another one", 1),
            What::Write { binary, data } => writer.write(xml, *binary, data, pause)?,
            What::Read { binary, .. } => writer.read(xml, *binary, pause, extract)?,
            What::Close { code } => {
                let props = [Prop::Text("statusCode", code.to_string()), Prop::Text("readTimeout", "6000".to_owned())];
                writer.sampler(xml, "CloseWebSocketSampler", "close", &props, pause, &[], &[])?;
                open = None;
            }
        }
        before = before.max(item.end);
    }
    while writer.inside > 0 {
        xml.up()?;
        writer.inside -= 1;
    }
    xml.up()
}

struct Writer<'w> {
    scrubber: &'w mut Scrubber,
    report: &'w mut Report,
    secrets: &'w mut BTreeSet<(String, String)>,
    variables: Values<String>,
    /// Controllers that are open.
    inside: usize,
}

impl Writer<'_> {
    /// Captured text as JMeter's: values with variables cut out, secrets replaced by variables.
    fn words(&mut self, text: &str, scrub: impl Fn(&mut Scrubber, &[u8]) -> Vec<u8>) -> String {
        let pieces = cut(text, &self.variables);
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    let shown = lossy(&scrub(self.scrubber, text.as_bytes()));
                    if self.scrubber.is_off() || shown == text {
                        out.push(Piece::Text(shown));
                    } else {
                        out.extend(fingerprints(&shown, self.secrets));
                    }
                }
                variable => out.push(variable),
            }
        }
        written(&out)
    }

    fn text(&mut self, text: &str) -> String {
        self.words(text, |scrubber, bytes| scrubber.text(bytes).into_owned())
    }

    fn headers(&mut self, request: &Request) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, value) in &request.headers {
            let whole = cut(value, &self.variables).len() <= 1;
            let value = if whole {
                self.words(value, |scrubber, bytes| scrubber.header(name.as_bytes(), bytes).into_owned())
            } else {
                self.text(value)
            };
            headers.push((literal(&lossy(&self.scrubber.values(name.as_bytes()))), value));
        }
        headers
    }

    fn path(&mut self, request: &Request) -> String {
        self.words(&request.path, |scrubber, bytes| scrubber.target(bytes).into_owned())
    }

    fn http(
        &mut self,
        xml: &mut Xml<'_>,
        item: &Item,
        request: &Request,
        body: &Text,
        pause: u64,
        extract: &[Variable],
    ) -> io::Result<()> {
        let path = self.path(request);
        let method = lossy(&self.scrubber.values(request.method.as_bytes()));
        let encoding = if body.latin1 { "ISO-8859-1" } else { "UTF-8" };
        let body = self.text(&body.text);
        // With an empty raw body JMeter sends a Content-Type of its own.
        let raw = !body.is_empty();
        let argument = if body.is_empty() {
            String::new()
        } else {
            format!(
                "<elementProp name=\"\" elementType=\"HTTPArgument\"><boolProp name=\"HTTPArgument.always_encode\">false</boolProp>{}{}</elementProp>",
                xml::text("Argument.value", &body),
                xml::text("Argument.metadata", "=")
            )
        };
        let arguments = format!(
            "<elementProp name=\"HTTPsampler.Arguments\" elementType=\"Arguments\"><collectionProp name=\"Arguments.arguments\">{argument}</collectionProp></elementProp>"
        );
        let protocol = if request.secure { "https" } else { "http" };
        let props = [
            Prop::Text("HTTPSampler.domain", literal(&request.host)),
            Prop::Text("HTTPSampler.port", literal(&request.port)),
            Prop::Text("HTTPSampler.protocol", protocol.to_owned()),
            Prop::Text("HTTPSampler.contentEncoding", encoding.to_owned()),
            Prop::Text("HTTPSampler.path", path),
            Prop::Text("HTTPSampler.method", literal(&method)),
            Prop::Flag("HTTPSampler.follow_redirects", false),
            Prop::Flag("HTTPSampler.auto_redirects", false),
            Prop::Flag("HTTPSampler.use_keepalive", true),
            Prop::Flag("HTTPSampler.postBodyRaw", raw),
            Prop::Text("HTTPSampler.response_timeout", timeout(item)),
            Prop::Raw(arguments),
        ];
        let shown = request.path.split('?').next().unwrap_or_default();
        let shown = lossy(&self.scrubber.target(shown.as_bytes()));
        let name = format!("{method} {shown} (x{})", item.exchange);
        xml.down("HTTPSamplerProxy", "HttpTestSampleGui", &literal(&name), &props)?;
        let headers = self.headers(request);
        children(xml, &headers, pause, extract)?;
        xml.up()
    }

    fn open(&mut self, xml: &mut Xml<'_>, item: &Item, request: &Request, pause: u64) -> io::Result<()> {
        let props = [
            Prop::Flag("TLS", request.secure),
            Prop::Text("server", literal(&request.host)),
            Prop::Text("port", literal(&request.port)),
            Prop::Text("path", self.path(request)),
            Prop::Text("connectTimeout", "20000".to_owned()),
            Prop::Text("readTimeout", timeout(item)),
        ];
        let headers = self.headers(request);
        self.sampler(xml, "OpenWebSocketSampler", &format!("open (x{})", item.exchange), &props, pause, &headers, &[])
    }

    fn write(&mut self, xml: &mut Xml<'_>, binary: bool, data: &Text, pause: u64) -> io::Result<()> {
        let text = if binary {
            let bytes: Vec<u8> = if data.latin1 {
                data.text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
            } else {
                data.text.as_bytes().to_vec()
            };
            self.scrubber.text(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
        } else {
            self.text(&data.text)
        };
        let kind = if binary { "Binary" } else { "Text" };
        let props = [
            Prop::Flag("createNewConnection", false),
            Prop::Text("payloadType", kind.to_owned()),
            Prop::Text("requestData", text),
            Prop::Flag("loadDataFromFile", false),
            Prop::Text("dataFile", String::new()),
        ];
        self.sampler(xml, "SingleWriteWebSocketSampler", "send", &props, pause, &[], &[])
    }

    fn read(&mut self, xml: &mut Xml<'_>, binary: bool, pause: u64, extract: &[Variable]) -> io::Result<()> {
        let kind = if binary { "Binary" } else { "Text" };
        let props = [
            Prop::Flag("createNewConnection", false),
            Prop::Text("dataType", kind.to_owned()),
            Prop::Text("readTimeout", (3 * pause).max(TIMEOUT_MS).to_string()),
            Prop::Flag("optional", false),
        ];
        // It waits by itself.
        self.sampler(xml, "SingleReadWebSocketSampler", "receive", &props, 0, &[], extract)
    }

    #[expect(clippy::too_many_arguments, reason = "what a sampler is made of")]
    fn sampler(
        &mut self,
        xml: &mut Xml<'_>,
        class: &str,
        name: &str,
        props: &[Prop<'_>],
        pause: u64,
        headers: &[(String, String)],
        extract: &[Variable],
    ) -> io::Result<()> {
        xml.down(&format!("{WS}{class}"), &format!("{WS}{class}Gui"), name, props)?;
        children(xml, headers, pause, extract)?;
        xml.up()
    }
}

/// A sampler's headers, pause and extractors.
fn children(xml: &mut Xml<'_>, headers: &[(String, String)], pause: u64, extract: &[Variable]) -> io::Result<()> {
    if !headers.is_empty() {
        let pairs = xml::pairs("HeaderManager.headers", "Header", headers);
        xml.leaf("HeaderManager", "HeaderPanel", "headers", &[Prop::Raw(pairs)])?;
    }
    if pause > 0 {
        let delay = [Prop::Text("ConstantTimer.delay", pause.to_string())];
        xml.leaf("ConstantTimer", "ConstantTimerGui", "pause", &delay)?;
    }
    for variable in extract {
        let props = [
            Prop::Text("JSONPostProcessor.referenceNames", variable.name.clone()),
            Prop::Text("JSONPostProcessor.jsonPathExprs", variable.path.clone()),
            Prop::Text("JSONPostProcessor.match_numbers", "1".to_owned()),
            Prop::Text("JSONPostProcessor.defaultValues", "NOT_FOUND".to_owned()),
        ];
        xml.leaf("JSONPostProcessor", "JSONPostProcessorGui", &format!("extract {}", variable.name), &props)?;
    }
    Ok(())
}

fn timeout(item: &Item) -> String {
    let took = item.end.saturating_sub(item.begin) / 1_000_000;
    (3 * took).max(TIMEOUT_MS).to_string()
}

/// Cuts fingerprints out of redacted text: each is a variable that whoever runs the plan can set.
fn fingerprints(text: &str, names: &mut BTreeSet<(String, String)>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((begin, end)) = next_fingerprint(rest) {
        let fingerprint = rest.get(begin..end).unwrap_or_default();
        let name = fingerprint.replace(':', "_");
        if begin > 0 {
            pieces.push(Piece::Text(rest.get(..begin).unwrap_or_default().to_owned()));
        }
        names.insert((name.clone(), fingerprint.to_owned()));
        pieces.push(Piece::Variable(name));
        rest = rest.get(end..).unwrap_or_default();
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

/// `token:` and twelve hex digits.
fn next_fingerprint(text: &str) -> Option<(usize, usize)> {
    text.match_indices(':').find_map(|(colon, _)| {
        let digits = text.get(colon + 1..colon + 13)?;
        let hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let kinds = ["token", "cookie", "key", "secret", "password"];
        let kind = kinds.into_iter().find(|kind| text.get(..colon).is_some_and(|before| before.ends_with(kind)))?;
        hex.then_some((colon - kind.len(), colon + 13))
    })
}
