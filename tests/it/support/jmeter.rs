//! JMeter with a plan of `tests/jmeter`, through `firstframe run`, against the API on loopback.

use std::{collections::BTreeMap, fmt::Display, path::Path};

use super::{
    origin::{Behaviour, Log, Origin},
    product::{Product, describe},
    repository, tool,
};

/// What came of a plan.
pub struct Run {
    pub product: Product,
    /// JMeter's own record.
    pub rows: Vec<BTreeMap<String, String>>,
    /// What `run` printed.
    pub printed: String,
    /// What reached the API.
    pub log: Log,
}

/// A plan that is to be run.
pub struct Plan {
    file: &'static str,
    properties: Vec<String>,
    options: Vec<String>,
}

impl Plan {
    pub fn new(file: &'static str) -> Self {
        Self { file, properties: Vec::new(), options: Vec::new() }
    }

    /// `-Jname=value`.
    pub fn property(mut self, name: &str, value: impl Display) -> Self {
        self.properties.push(format!("-J{name}={value}"));
        self
    }

    /// An option of `firstframe run`.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Runs it to its end; JMeter must succeed.
    pub fn run(self, behaviour: Behaviour) -> Run {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let origin = runtime.block_on(Origin::start(0, behaviour)).unwrap();
        let product = Product::new(Some(&origin.ca_pem));
        let jtl = product.folder.path().join("out.jtl");
        let output = product
            .command("run")
            .args(&self.options)
            .arg("--")
            .arg(tool("jmeter/bin/jmeter"))
            .args(["-n", "-t"])
            .arg(repository().join("tests/jmeter").join(self.file))
            .arg("-l")
            .arg(&jtl)
            .arg("-j")
            .arg(product.folder.path().join("jmeter.log"))
            .arg(format!("-Jport={}", origin.address.port()))
            .args(&self.properties)
            // Its own folder for preferences, so that two of them do not meet.
            .env("HOME", product.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", describe(&output));
        let printed = String::from_utf8(output.stdout).unwrap();
        let log = std::mem::take(&mut *origin.log.lock().unwrap());
        Run { rows: rows(&jtl), product, printed, log }
    }
}

/// The rows of a CSV JTL whose fields bear no commas or quotes.
fn rows(jtl: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(jtl).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| names.iter().map(ToString::to_string).zip(line.split(',').map(String::from)).collect();
    lines.map(row).collect()
}
