//! `ca`: where our certificate authority is, and its certificate in the form that a client wants.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    Globals, Output,
    client::{self, Trust},
    exit_code,
    output::{Usage, say},
};
use crate::ca::{Authority, truststore};

/// Our certificate authority: where it is, and its certificate in the form that a client wants
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Where it is, its fingerprint and its validity; it is made where there is none
    Show {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Writes the certificate for a client, with what to do with it
    Export {
        /// pem and der: our certificate alone; bundle: PEM, the system's roots and ours; p12: the same for Java
        #[arg(long, value_enum, default_value = "pem")]
        format: Format,
        /// Where to [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replaces the file where there is one
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Pem,
    Der,
    Bundle,
    P12,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let authority = Authority::open_or_create(&globals.settings()?.ca_dir())?;
    match args.what {
        What::Show { json } => show(&authority, json)?,
        What::Export { format, output, force } => export(&authority, format, output.as_deref(), force)?,
    }
    Ok(ExitCode::from(exit_code::DONE))
}

fn show(authority: &Authority, json: bool) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    let path = authority.certificate_path();
    let der = authority.certificate_der();
    let fingerprint = sha256(der);
    let (from, until) = validity(der).unzip();
    if json {
        let all = json!({
            "certificate": path, "sha256": fingerprint, "not_before": from, "not_after": until,
        });
        return Ok(out.json_line(&all)?);
    }
    let unknown = || "unknown".to_owned();
    writeln!(out, "certificate  {}", path.display())?;
    writeln!(out, "sha256       {fingerprint}")?;
    writeln!(out, "valid        {} to {}", from.unwrap_or_else(unknown), until.unwrap_or_else(unknown))?;
    writeln!(out, "\nJMeter's own samplers trust every certificate; other clients must be told to trust this one:")?;
    writeln!(out, "  firstframe run -- COMMAND                      does it for one command")?;
    writeln!(out, "  firstframe ca export --format p12 -o trust.p12  for Java")?;
    writeln!(out, "  firstframe ca export --format bundle -o ca.pem  for Python, curl, Git, Go, Ruby, .NET on Linux")?;
    writeln!(out, "  NODE_EXTRA_CA_CERTS={}", path.display())?;
    Ok(out.flush()?)
}

fn export(authority: &Authority, format: Format, to: Option<&Path>, force: bool) -> anyhow::Result<()> {
    // What is a pipe or a device is no file that could be lost.
    if let Some(path) = to.filter(|path| !force && path.is_file()) {
        let hint = "--force replaces it";
        return Err(Usage(format!("{} exists and is left as it is (hint: {hint})", path.display())).into());
    }
    let roots = || {
        let roots = truststore::SystemRoots::load();
        for problem in &roots.problems {
            say(&format!("warning: the system's roots: {problem}"));
        }
        roots
    };
    let bytes = match format {
        Format::Pem => authority.certificate_pem().as_bytes().to_vec(),
        Format::Der => truststore::der(authority).to_vec(),
        Format::Bundle => truststore::pem_bundle(authority, &roots()).into_bytes(),
        Format::P12 => truststore::pkcs12(authority, &roots())?,
    };
    let mut out = Output::stdout();
    match to {
        Some(path) => {
            std::fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
            say(&advice(format, path));
        }
        None if matches!(format, Format::Der | Format::P12) && out.is_terminal() => {
            return Err(
                Usage("--format der and p12 are binary: name a file with -o FILE, or redirect".to_owned()).into()
            );
        }
        None => {
            out.write_all(&bytes)?;
            out.flush()?;
        }
    }
    Ok(())
}

/// What to do with the file.
fn advice(format: Format, path: &Path) -> String {
    let shown = path.display();
    match format {
        Format::Pem | Format::Der => format!(
            "{shown} holds our certificate alone. For example:\n  \
             keytool -importcert -noprompt -alias firstframe -storepass changeit -keystore STORE -trustcacerts -file {shown}\n  \
             NODE_EXTRA_CA_CERTS={shown} node ..."
        ),
        Format::Bundle => format!(
            "{shown} holds the system's roots and ours. For example:\n  \
             SSL_CERT_FILE={shown} REQUESTS_CA_BUNDLE={shown} python ...\n  CURL_CA_BUNDLE={shown} curl ..."
        ),
        Format::P12 => {
            let trust = Trust { bundle: PathBuf::new(), truststore: path.to_owned() };
            let options: Vec<_> =
                client::trust_properties(&trust).iter().map(|text| text.to_string_lossy().into_owned()).collect();
            format!("{shown} holds the system's roots and ours. For example:\n  java {} ...", options.join(" "))
        }
    }
}

/// Upper-case hexadecimal with colons, as browsers and `openssl x509 -fingerprint -sha256` show it.
fn sha256(bytes: &[u8]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let Some(suite) = suite.tls13() else { return String::new() };
    let hash = suite.common.hash_provider.hash(bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// From when until when a certificate is valid (RFC 5280, 4.1.2.5), as RFC 3339.
fn validity(certificate: &[u8]) -> Option<(String, String)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = der_value(certificate)?;
    let (_, mut rest, _) = der_value(certificate)?;
    // version (if any), serial number, signature algorithm, issuer
    let before = if rest.first() == Some(&VERSION) { 4 } else { 3 };
    for _ in 0..before {
        (_, _, rest) = der_value(rest)?;
    }
    let (_, dates, _) = der_value(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, from, rest) = der_value(dates)?;
    let (until_tag, until, _) = der_value(rest)?;
    Some((der_time(tag, from)?, der_time(until_tag, until)?))
}

/// Tag, content and what follows. Lengths of up to two bytes: a certificate's parts.
fn der_value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, begin) = match *bytes.get(1)? {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(*bytes.get(2)?), 3),
        0x82 => (usize::from(*bytes.get(2)?) << 8 | usize::from(*bytes.get(3)?), 4),
        _ => return None,
    };
    let end = begin + length;
    Some((*bytes.first()?, bytes.get(begin..end)?, bytes.get(end..)?))
}

/// `UTCTime` (two digits of year, 50 is 1950) or `GeneralizedTime`, both in UTC.
fn der_time(tag: u8, text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let full = match (tag, text.get(..2)?) {
        (0x17, year) => format!("{}{text}", if year < "50" { "20" } else { "19" }),
        _ => text.to_owned(),
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let (date, time) = ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 14)?));
    Some(format!("{}-{}-{}T{}:{}:{}Z", date.0, date.1, date.2, time.0, time.1, time.2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn fingerprint_and_validity_are_those_of_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path()).unwrap();
        let der = authority.certificate_der();
        let (from, until) = validity(der).unwrap();
        assert!(from < until && from.len() == 20, "{from} {until}");
        assert_eq!(sha256(b"abc").replace(':', ""), {
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD" // FIPS 180-2, B.1
        });
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(authority.certificate_path());
        // Machines without openssl cannot ask it.
        let Ok(answer) = openssl.output() else { return };
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(answer.contains(&sha256(der)), "{answer}");
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path()).unwrap();
        let der = authority.certificate_der();
        for end in 0..der.len() {
            assert_eq!(validity(&der[..end]), None, "cut at {end}");
        }
        assert_eq!(der_time(0x17, b"491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(der_time(0x17, b"500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(der_time(0x18, b"20500101000000Z").as_deref(), Some("2050-01-01T00:00:00Z"));
        assert_eq!(der_time(0x18, b"2050"), None);
    }
}
