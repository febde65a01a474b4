//! Whole-decoder tests: the scripts of `tests/corpus/websocket`, and what holds for any bytes and any chunking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{fmt::Write as _, fs, path::PathBuf};

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

/// What was sent, one step after the other.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Side, Vec<u8>),
    Lost(Side, u64),
    End(Side),
}

/// Runs the steps, each chunk cut by `cut`, and gives each side's events as lines. Checks on the way that every event's
/// instant is that of the chunk with its last byte.
fn run(socket: &mut WebSocket, steps: &[Step], cut: impl FnMut(&[u8]) -> Vec<usize>) -> Sides<Vec<String>> {
    run_between(socket, steps, cut, |_| {})
}

/// The same, with `between` after each chunk.
fn run_between(
    socket: &mut WebSocket,
    steps: &[Step],
    mut cut: impl FnMut(&[u8]) -> Vec<usize>,
    mut between: impl FnMut(&mut WebSocket),
) -> Sides<Vec<String>> {
    let mut offsets = Sides { client: 1000, server: 2000 };
    let mut chunks: Vec<(ByteRange, Timestamp)> = Vec::new();
    let mut seen = Sides::default();
    let mut clock = 0;
    for step in steps {
        match step {
            Step::Bytes(from, bytes) => {
                let mut cuts = cut(bytes);
                cuts.push(bytes.len());
                let mut begin = 0;
                for end in cuts {
                    clock += 1;
                    let offset = *offsets.of(*from);
                    let (arrived, read) = (Some(Timestamp(clock)), Timestamp(0));
                    let chunk = Chunk { from: *from, offset, arrived, read, bytes: &bytes[begin..end] };
                    chunks.push((chunk.range(), Timestamp(clock)));
                    *offsets.of_mut(*from) += (end - begin) as u64;
                    socket.push(&chunk, &mut |event| note(&event, &chunks, &mut seen));
                    between(socket);
                    begin = end;
                }
            }
            Step::Lost(from, bytes) => {
                clock += 1;
                let start = *offsets.of(*from);
                let range = ByteRange { from: *from, start, end: start + bytes };
                chunks.push((range, Timestamp(clock)));
                *offsets.of_mut(*from) += bytes;
                socket.lost(range, Timestamp(clock), &mut |event| note(&event, &chunks, &mut seen));
            }
            Step::End(from) => {
                socket.end(*from, Timestamp(clock), &mut |event| note(&event, &[], &mut seen));
            }
        }
    }
    seen
}

fn note(event: &Event<'_>, chunks: &[(ByteRange, Timestamp)], seen: &mut Sides<Vec<String>>) {
    let arrival = |from: Side, byte: u64| {
        let chunk = chunks.iter().find(|(range, _)| range.from == from && range.start <= byte && byte < range.end);
        chunk.expect("an event's bytes were sent").1
    };
    let mut line = String::new();
    let from = match event {
        Event::WebSocket(WebSocketEvent::Frame(frame)) => {
            assert_eq!(frame.at, arrival(frame.from, frame.range.end - 1), "the frame's last byte");
            assert_eq!(frame.began, arrival(frame.from, frame.range.start), "the frame's first byte");
            let FrameEvent { opcode, fin, rsv1, masked, length, range, .. } = frame;
            write!(line, "frame {opcode}").unwrap();
            for (is, word) in [(*fin, "fin"), (*rsv1, "rsv1"), (*masked, "masked")] {
                line.push_str(if is { " " } else { "" });
                line.push_str(if is { word } else { "" });
            }
            write!(line, " {}..{} of {length}: {}", range.start, range.end, show(frame.payload)).unwrap();
            frame.from
        }
        Event::WebSocket(WebSocketEvent::Message { from, opcode, payload, at }) => {
            assert!(chunks.iter().any(|(range, when)| range.from == *from && when == at));
            write!(line, "message {opcode}: {}", show(*payload)).unwrap();
            *from
        }
        Event::Anomaly(Anomaly { kind, range, at, opaque }) => {
            if !chunks.is_empty() {
                assert_eq!(*at, arrival(range.from, range.end - 1), "{kind:?}");
            }
            write!(line, "anomaly {} {}..{}", kind.as_str(), range.start, range.end).unwrap();
            line.push_str(if *opaque { " opaque" } else { "" });
            range.from
        }
        Event::Http(_) => panic!("{event:?}"),
    };
    seen.of_mut(from).push(line);
}

fn show(payload: Payload<'_>) -> String {
    let cut = if payload.whole { "" } else { "…" };
    let bytes = payload.bytes;
    if bytes.len() > 64 {
        return format!("{} bytes, sum {:x}{cut}", bytes.len(), crc32fast::hash(bytes));
    }
    format!("\"{}\"{cut}", bytes.escape_ascii())
}

fn whole(_: &[u8]) -> Vec<usize> {
    Vec::new()
}

fn bytewise(bytes: &[u8]) -> Vec<usize> {
    (1..bytes.len()).collect()
}

fn options() -> Options {
    Options { frame_bytes: 125, message_bytes: 1000, inflate_burst_bytes: 20_000 }
}

/// One folder of the corpus: `deflate …` (what was agreed), `> …` and `< …` (bytes of the client and the server: hex,
/// or text in quotes), `lost > N`, `end >`; `#` begins a comment.
struct Case {
    name: String,
    deflate: Option<DeflateParameters>,
    steps: Vec<Step>,
    expected: PathBuf,
}

impl Case {
    fn all() -> Vec<Self> {
        let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/websocket");
        let mut folders: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        assert!(folders.len() >= 8, "the corpus is there");
        folders.into_iter().map(Self::read).collect()
    }

    fn read(folder: PathBuf) -> Self {
        let side = |word: &str| match word {
            ">" => Side::Client,
            "<" => Side::Server,
            _ => panic!("{}: {word:?} is no side", folder.display()),
        };
        let (mut deflate, mut steps) = (None, Vec::new());
        for line in fs::read_to_string(folder.join("trace.txt")).unwrap().lines() {
            let line = line.split('#').next().unwrap().trim();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" => {}
                "deflate" => {
                    let mut agreed = DeflateParameters::default();
                    for word in rest.split_whitespace() {
                        match word {
                            "server_no_context_takeover" => agreed.server_no_context_takeover = true,
                            "client_no_context_takeover" => agreed.client_no_context_takeover = true,
                            _ => panic!("{word}"),
                        }
                    }
                    deflate = Some(agreed);
                }
                "lost" => {
                    let (from, bytes) = rest.split_once(' ').unwrap();
                    steps.push(Step::Lost(side(from), bytes.parse().unwrap()));
                }
                "end" => steps.push(Step::End(side(rest))),
                from => steps.push(Step::Bytes(side(from), bytes(rest))),
            }
        }
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Self { name, deflate, steps, expected: folder.join("expected.txt") }
    }

    fn socket(&self) -> WebSocket {
        WebSocket::new(self.deflate, options())
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
        } else {
            bytes.extend(part.split_whitespace().map(|hex| u8::from_str_radix(hex, 16).unwrap()));
        }
    }
    bytes
}

fn told(seen: &Sides<Vec<String>>) -> String {
    let mut text = String::new();
    for (mark, lines) in [(">", &seen.client), ("<", &seen.server)] {
        for line in lines {
            writeln!(text, "{mark} {line}").unwrap();
        }
    }
    text
}

#[test]
fn the_corpus_decodes_as_it_says() {
    for case in Case::all() {
        let seen = told(&run(&mut case.socket(), &case.steps, whole));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&case.expected, &seen).unwrap();
        }
        let expected = fs::read_to_string(&case.expected).unwrap_or_default();
        assert_eq!(seen, expected, "{} (UPDATE=1 rewrites it)", case.name);
    }
}

#[test]
fn every_split_gives_the_same_events() {
    for case in Case::all() {
        let expected = run(&mut case.socket(), &case.steps, whole);
        let longest =
            case.steps.iter().map(|step| if let Step::Bytes(_, bytes) = step { bytes.len() } else { 0 }).max();
        for at in 0..longest.unwrap() {
            let seen = run(&mut case.socket(), &case.steps, |bytes| Vec::from_iter((at < bytes.len()).then_some(at)));
            assert_eq!(seen, expected, "{} split at {at}", case.name);
        }
        assert_eq!(run(&mut case.socket(), &case.steps, bytewise), expected, "{} byte by byte", case.name);
    }
}

#[test]
fn every_truncation_gives_a_beginning_of_the_events() {
    for case in Case::all() {
        let expected = run(&mut case.socket(), &case.steps, whole);
        for (index, step) in case.steps.iter().enumerate() {
            let Step::Bytes(from, bytes) = step else { continue };
            for at in 0..bytes.len() {
                let mut steps = case.steps[..index].to_vec();
                steps.extend([Step::Bytes(*from, bytes[..at].to_vec()), Step::End(*from)]);
                let mut seen = run(&mut case.socket(), &steps, whole).of(*from).clone();
                seen.pop_if(|line| line.starts_with("anomaly cut-short"));
                assert!(expected.of(*from).starts_with(&seen), "{} cut at {at}: {seen:#?}", case.name);
            }
        }
    }
}

/// As if the capture had been closed and its state kept.
fn store(socket: &mut WebSocket) {
    let stored = serde_json::to_string(socket).unwrap();
    *socket = serde_json::from_str(&stored).unwrap();
    assert_eq!(serde_json::to_string(socket).unwrap(), stored);
}

#[test]
fn a_stored_decoder_goes_on_where_it_was() {
    for case in Case::all().into_iter().filter(|case| case.deflate.is_none()) {
        let expected = run(&mut case.socket(), &case.steps, whole);
        let seen = run_between(&mut case.socket(), &case.steps, bytewise, store);
        assert_eq!(seen, expected, "{} stored after every byte", case.name);
    }
}

/// Every number in `value`, replaced by each of `with`, one at a time.
fn tampered(value: &serde_json::Value, with: &[u64]) -> Vec<serde_json::Value> {
    match value {
        serde_json::Value::Number(_) => with.iter().map(|number| (*number).into()).collect(),
        serde_json::Value::Array(items) => {
            let one = |at: usize| {
                tampered(&items[at], with).into_iter().map(move |item| {
                    let mut items = items.clone();
                    items[at] = item;
                    items.into()
                })
            };
            (0..items.len()).flat_map(one).collect()
        }
        serde_json::Value::Object(fields) => {
            let one = |(name, field): (&String, &serde_json::Value)| {
                let name = name.clone();
                tampered(field, with).into_iter().map(move |field| {
                    let mut fields = fields.clone();
                    fields[&name] = field;
                    fields.into()
                })
            };
            fields.iter().flat_map(one).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn a_tampered_store_neither_panics_nor_hangs() {
    let compressed = Sender::new().compress(&[b'x'; 5000]);
    let starts = [vec![0x81], vec![0x81, 0xfe, 0], frame(0x01, b"abc", Some([1; 4])), frame(0xc1, &compressed, None)];
    let mut tried = 0;
    for start in starts {
        let start = if start.len() > 3 { start[..start.len() - 1].to_vec() } else { start };
        let mut socket = WebSocket::new(Some(TAKEOVER), options());
        let chunk = Chunk { from: Side::Client, offset: 7, arrived: None, read: Timestamp(1), bytes: &start };
        socket.push(&chunk, &mut |_| {});
        let stored = serde_json::to_value(&socket).unwrap();
        for state in tampered(&stored, &[0, 1, 14, 255, 4096, 70_000, u64::MAX - 1, u64::MAX]) {
            let Ok(mut socket) = serde_json::from_value::<WebSocket>(state) else { continue };
            let next = socket.directions.client.next.unwrap_or_default();
            for (at, bytes) in [(0, &[0x5a; 300][..]), (300, &frame(0x81, b"hello", Some([3; 4])))] {
                let offset = next.saturating_add(at).min(u64::MAX - 1000);
                let chunk = Chunk { from: Side::Client, offset, arrived: None, read: Timestamp(1), bytes };
                socket.push(&chunk, &mut |_| {});
            }
            let range = ByteRange { from: Side::Client, start: next, end: u64::MAX };
            socket.lost(range, Timestamp(2), &mut |_| {});
            socket.end(Side::Client, Timestamp(3), &mut |_| {});
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

/// One frame with the shortest header.
fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(mask | short as u8),
        medium @ 126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(mask | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(key.unwrap_or_default().iter().take(if key.is_some() { 4 } else { 0 }));
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[start..], key.unwrap_or_default(), 0);
    bytes
}

/// A sender's compressor: one message's payload after the other.
struct Sender(Compress);

impl Sender {
    fn new() -> Self {
        Self(Compress::new(Compression::default(), false))
    }

    fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 1024);
        self.0.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
        out.truncate(out.len() - 4);
        out
    }
}

const TAKEOVER: DeflateParameters = DeflateParameters {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: None,
};
const NO_TAKEOVER: DeflateParameters =
    DeflateParameters { server_no_context_takeover: true, client_no_context_takeover: true, ..TAKEOVER };

/// The messages of the server's frames, and the names of the anomalies.
fn messages(socket: &mut WebSocket, steps: &[Step]) -> (Vec<(Vec<u8>, bool)>, Vec<&'static str>) {
    let (mut messages, mut anomalies, mut offset) = (Vec::new(), Vec::new(), 0);
    let mut sink = |event: Event<'_>| match event {
        Event::WebSocket(WebSocketEvent::Message { payload, .. }) => {
            messages.push((payload.bytes.to_vec(), payload.whole));
        }
        Event::Anomaly(anomaly) => anomalies.push(anomaly.kind.as_str()),
        _ => {}
    };
    for step in steps {
        match step {
            Step::Bytes(from, bytes) => {
                let chunk = Chunk { from: *from, offset, arrived: None, read: Timestamp(1), bytes };
                socket.push(&chunk, &mut sink);
                offset += bytes.len() as u64;
            }
            Step::Lost(from, bytes) => {
                let range = ByteRange { from: *from, start: offset, end: offset + bytes };
                socket.lost(range, Timestamp(1), &mut sink);
                offset += bytes;
            }
            Step::End(from) => socket.end(*from, Timestamp(1), &mut sink),
        }
    }
    (messages, anomalies)
}

fn server(bytes: Vec<u8>) -> Step {
    Step::Bytes(Side::Server, bytes)
}

#[test]
fn context_passes_from_message_to_message() {
    let mut sender = Sender::new();
    let texts: Vec<Vec<u8>> =
        (0..40).map(|n| format!("{{\"seq\":{n},\"x\":\"{}\"}}", "ab".repeat(n * 60)).into()).collect();
    let mut stream: Vec<u8> = Vec::new();
    for text in &texts {
        let payload = sender.compress(text);
        let (first, second) = payload.split_at(payload.len() / 2);
        // In two fragments, with a ping between them.
        stream.extend([frame(0x41, first, None), frame(0x89, b"p", None), frame(0x80, second, None)].concat());
    }
    let mut socket = WebSocket::new(Some(TAKEOVER), Options::default());
    let (seen, anomalies) = messages(&mut socket, &[server(stream)]);
    assert_eq!(seen, texts.into_iter().map(|text| (text, true)).collect::<Vec<_>>());
    assert!(anomalies.is_empty());
}

#[test]
fn the_window_slides_far() {
    // 40 messages of noise, each repeating the one before: references reach back 20 kB, over 800 kB.
    let mut sender = Sender::new();
    let mut noise = 1_u32;
    let mut last = Vec::new();
    let (mut sent, mut stream) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let fresh = (0..10_000).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        let fresh: Vec<u8> = fresh.collect();
        let message = [last.as_slice(), &fresh].concat();
        last = fresh;
        stream.extend(frame(0xc2, &sender.compress(&message), None));
        sent.push((message, true));
    }
    assert!(stream.len() < 600_000, "it does refer back");
    let mut socket = WebSocket::new(Some(TAKEOVER), Options::default());
    assert_eq!(messages(&mut socket, &[server(stream)]), (sent, vec![]));
}

#[test]
fn a_sender_that_keeps_its_window_against_its_word_is_noticed() {
    let mut sender = Sender::new();
    let stream: Vec<u8> = (0..2).flat_map(|_| frame(0xc1, &sender.compress(b"the same words again"), None)).collect();
    let mut socket = WebSocket::new(Some(NO_TAKEOVER), Options::default());
    let (seen, anomalies) = messages(&mut socket, &[server(stream)]);
    assert_eq!(seen[0], (b"the same words again".to_vec(), true));
    assert!(!seen[1].1);
    assert_eq!(anomalies, ["deflate"]);
}

#[test]
fn after_loss_or_storing_only_a_reset_makes_messages_whole_again() {
    for (agreed, last) in [(TAKEOVER, false), (NO_TAKEOVER, true)] {
        for lose in [false, true] {
            let mut sender = Sender::new();
            let mut next = |text: &[u8]| {
                if agreed.server_no_context_takeover {
                    sender = Sender::new();
                }
                frame(0xc1, &sender.compress(text), None)
            };
            let (first, mut second, third) = (next(b"one two three"), next(b"one two three four"), next(b"one two"));
            let mut socket = WebSocket::new(Some(agreed), Options::default());
            let mut steps = vec![server(first)];
            if lose {
                let tail = second.split_off(second.len() - 2);
                steps.extend([server(second), Step::Lost(Side::Server, 1), server(tail[1..].to_vec()), server(third)]);
                let (seen, anomalies) = messages(&mut socket, &steps);
                assert_eq!(seen.iter().map(|(_, whole)| *whole).collect::<Vec<_>>(), [true, false, last]);
                assert_eq!(anomalies, ["gap"]);
            } else {
                assert_eq!(messages(&mut socket, &steps).0, [(b"one two three".to_vec(), true)]);
                store(&mut socket);
                let mut stream = second;
                stream.extend(third);
                // Offsets count on from the first chunk.
                let offset = socket.directions.server.next.unwrap();
                let mut seen = Vec::new();
                let chunk = Chunk { from: Side::Server, offset, arrived: None, read: Timestamp(2), bytes: &stream };
                socket.push(&chunk, &mut |event| match event {
                    Event::WebSocket(WebSocketEvent::Message { payload, .. }) => seen.push(payload.whole),
                    Event::Anomaly(anomaly) => panic!("{anomaly:?}"),
                    _ => {}
                });
                assert_eq!(seen, [last, last]);
            }
        }
    }
}

#[test]
fn messages_beyond_the_cap_keep_the_window_right() {
    let mut sender = Sender::new();
    let large: Vec<u8> = (0..50_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
    let small = large[large.len() - 300..].to_vec();
    let stream = [frame(0xc2, &sender.compress(&large), None), frame(0xc2, &sender.compress(&small), None)].concat();
    let options = Options { message_bytes: 1000, ..Options::default() };
    let mut socket = WebSocket::new(Some(TAKEOVER), options);
    let (seen, anomalies) = messages(&mut socket, &[server(stream)]);
    assert_eq!(seen, [(large[..1000].to_vec(), false), (small, true)]);
    assert_eq!(anomalies, ["inflates-too-large"]);
}

#[test]
fn a_decompression_bomb_is_given_up() {
    for agreed in [TAKEOVER, NO_TAKEOVER] {
        let mut sender = Sender::new();
        let bomb = sender.compress(&vec![b'0'; 8 * 1024 * 1024]);
        let steps = [frame(0xc1, &bomb, None), frame(0xc1, &Sender::new().compress(b"hello"), None)].map(server);
        let options = Options { inflate_burst_bytes: 1024 * 1024, ..Options::default() };
        let mut socket = WebSocket::new(Some(agreed), options.clone());
        let (seen, anomalies) = messages(&mut socket, &steps);
        assert_eq!(seen, [(vec![b'0'; 1024 * 1024], false), (Vec::new(), false)]);
        assert_eq!(anomalies, ["inflates-too-large"]);
        // In many small bombs it is the same.
        let bombs: Vec<u8> =
            (0..200).flat_map(|_| frame(0xc1, &Sender::new().compress(&[b'0'; 100_000]), None)).collect();
        let mut socket = WebSocket::new(Some(NO_TAKEOVER), options);
        let (seen, anomalies) = messages(&mut socket, &[server(bombs)]);
        let whole = seen.iter().filter(|(_, whole)| *whole).count();
        assert!((10..20).contains(&whole), "{whole} were inflated");
        assert_eq!(anomalies, ["inflates-too-large"]);
    }
}

#[test]
fn credit_is_counted_by_blocks_and_does_not_pile_up() {
    let noise: Vec<u8> = (0..3000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    let options = |burst| Options { inflate_burst_bytes: burst, ..Options::default() };
    // A run that its own block pays for passes, however the block is cut.
    let paid = Sender::new().compress(&[noise.clone(), vec![0; 400_000]].concat());
    assert!(paid.len() < 4096);
    let steps = [server(frame(0xc2, &paid, None))];
    let expected = run(&mut WebSocket::new(Some(TAKEOVER), options(1000)), &steps, whole);
    assert_eq!(expected.server.len(), 2, "{expected:?}");
    assert!(expected.server[1].starts_with("message 2: 403000 bytes"), "{expected:?}");
    assert_eq!(run(&mut WebSocket::new(Some(TAKEOVER), options(1000)), &steps, bytewise), expected);
    // Much dull traffic does not pay for a bomb.
    let mut steps: Vec<Step> = (0..50).map(|_| server(frame(0xc2, &Sender::new().compress(&noise), None))).collect();
    steps.push(server(frame(0xc2, &Sender::new().compress(&vec![0; 4_000_000]), None)));
    let mut socket = WebSocket::new(Some(NO_TAKEOVER), options(1_000_000));
    assert_eq!(messages(&mut socket, &steps).1, ["inflates-too-large"]);
}

#[test]
fn compressed_messages_do_not_depend_on_chunking_even_when_they_break() {
    let mut sender = Sender::new();
    let text: Vec<u8> = (0..3000_u32).flat_map(|n| (n * n).to_string().into_bytes()).collect();
    let good = sender.compress(&text);
    for broken in (0..good.len()).step_by(97) {
        let mut payload = good.clone();
        payload[broken] ^= 0x24;
        let stream = [frame(0xc1, &payload, None), frame(0xc1, &good, None)].concat();
        let steps = [Step::Bytes(Side::Server, stream)];
        let expected = run(&mut WebSocket::new(Some(NO_TAKEOVER), options()), &steps, whole);
        for size in [1, 7, 100, 1000] {
            let cut = |bytes: &[u8]| (1..bytes.len()).step_by(size).collect();
            let seen = run(&mut WebSocket::new(Some(NO_TAKEOVER), options()), &steps, cut);
            assert_eq!(seen, expected, "broken at {broken}, chunks of {size}");
        }
    }
}

#[test]
fn payloads_are_kept_up_to_their_caps() {
    let sizes = [0, 1, 125, 126, 65_535, 65_536, 70_000, 1_048_576, 1_048_577];
    for size in sizes {
        for key in [None, Some([1, 2, 3, 4])] {
            let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let (mut frames, mut kept) = (0, 0);
            let mut socket = WebSocket::new(None, Options::default());
            for (index, bytes) in frame(0x82, &payload, key).chunks(16 * 1024).enumerate() {
                let offset = (index * 16 * 1024) as u64;
                let chunk = Chunk { from: Side::Client, offset, arrived: None, read: Timestamp(1), bytes };
                socket.push(&chunk, &mut |event| match event {
                    Event::WebSocket(WebSocketEvent::Frame(frame)) => {
                        frames += 1;
                        assert_eq!(frame.length, size as u64);
                        assert_eq!(frame.payload.bytes, &payload[..size.min(65_536)]);
                        assert_eq!(frame.payload.whole, size <= 65_536);
                    }
                    Event::WebSocket(WebSocketEvent::Message { payload: message, .. }) => {
                        assert_eq!(message.bytes, &payload[..message.bytes.len()]);
                        assert_eq!(message.whole, size <= 1_048_576);
                        kept = message.bytes.len();
                    }
                    _ => {}
                });
            }
            assert_eq!((frames, kept), (1, if size > 1_048_576 { 65_536 } else { size }));
        }
    }
}

#[test]
fn an_idle_socket_holds_little() {
    let mut socket = WebSocket::new(None, Options::default());
    for (from, key) in [(Side::Client, Some([7; 4])), (Side::Server, None)] {
        let mut stream = Vec::new();
        for size in [3, 64, 5000, 100_000] {
            let payload = vec![b'x'; size];
            stream.extend(frame(0x01, &payload, key));
            stream.extend(frame(0x80, &payload, key));
            stream.extend(frame(0x82, &payload, key));
        }
        for (index, bytes) in stream.chunks(4096).enumerate() {
            let chunk = Chunk { from, offset: index as u64 * 4096, arrived: None, read: Timestamp(1), bytes };
            socket.push(&chunk, &mut |_| {});
        }
    }
    let Sides { client, server } = &socket.directions;
    let held = [client, server].map(|side| side.collected.capacity() + side.assembly.capacity());
    assert!(held.iter().all(|bytes| *bytes <= 2 * KEEP), "{held:?}");
    assert!(size_of::<WebSocket>() + held.iter().sum::<usize>() < 1024 + 512, "{}", size_of::<WebSocket>());
}

#[test]
fn small_frames_need_no_new_memory() {
    let mut socket = WebSocket::new(None, Options::default());
    let stream: Vec<u8> = (0..230).flat_map(|_| frame(0x81, &[b'x'; 64], Some([1, 2, 3, 4]))).collect();
    let mut held = Vec::new();
    for round in 0..3 {
        let offset = (round * stream.len()) as u64;
        let chunk = Chunk { from: Side::Client, offset, arrived: None, read: Timestamp(1), bytes: &stream };
        let mut places = std::collections::BTreeSet::new();
        socket.push(&chunk, &mut |event| {
            if let Event::WebSocket(WebSocketEvent::Frame(frame)) = event {
                places.insert(frame.payload.bytes.as_ptr());
            }
        });
        held.extend(places);
    }
    held.dedup();
    assert_eq!(held.len(), 1, "one buffer serves all frames");
}

/// Any frame, sensible or not.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first =
        prop_oneof![Just(0x81), Just(0x01), Just(0x80), Just(0x00), Just(0xc1), Just(0x41), Just(0x88), any::<u8>()];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[a-z€]{0,80}".prop_map(String::into_bytes),
        "[ab]{0,2000}".prop_map(|text| Sender::new().compress(text.as_bytes())),
    ];
    (first, payload, prop::option::of(any::<[u8; 4]>())).prop_map(|(first, payload, key)| frame(first, &payload, key))
}

fn any_stream() -> impl Strategy<Value = Vec<Step>> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let bytes = prop_oneof![9 => any_frame(), 1 => prop::collection::vec(any::<u8>(), 0..20)];
    let step = prop_oneof![
        20 => (side.clone(), bytes).prop_map(|(from, bytes)| Step::Bytes(from, bytes)),
        1 => (side.clone(), 1..100_u64).prop_map(|(from, bytes)| Step::Lost(from, bytes)),
        1 => side.prop_map(Step::End),
    ];
    prop::collection::vec(step, 0..20)
}

fn any_agreement() -> impl Strategy<Value = Option<DeflateParameters>> {
    prop_oneof![Just(None), Just(Some(TAKEOVER)), Just(Some(NO_TAKEOVER))]
}

proptest! {
    #[test]
    fn chunking_changes_nothing(steps in any_stream(), agreed in any_agreement(), seed in any::<u64>()) {
        let expected = run(&mut WebSocket::new(agreed, options()), &steps, whole);
        let mut noise = seed | 1;
        let seen = run(&mut WebSocket::new(agreed, options()), &steps, |bytes| {
            let mut cuts = Vec::new();
            for at in 1..bytes.len() {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if noise >> 61 == 0 {
                    cuts.push(at);
                }
            }
            cuts
        });
        prop_assert_eq!(&seen, &expected);
        prop_assert_eq!(&run(&mut WebSocket::new(agreed, options()), &steps, bytewise), &expected);
        if agreed.is_none() {
            prop_assert_eq!(&run_between(&mut WebSocket::new(agreed, options()), &steps, whole, store), &expected);
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000), agreed in any_agreement()) {
        run(&mut WebSocket::new(agreed, options()), &[Step::Bytes(Side::Client, bytes), Step::End(Side::Client)], bytewise);
    }
}
