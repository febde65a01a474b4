//! Writing JMX: elements with their properties, each followed by its `hashTree`. Text is escaped here and nowhere else.

use std::io::{self, Write};

/// A property of an element.
pub(super) enum Prop<'p> {
    /// `stringProp`
    Text(&'p str, String),
    /// `boolProp`
    Flag(&'p str, bool),
    /// Ready-made.
    Raw(String),
}

pub(super) struct Xml<'x> {
    out: &'x mut dyn Write,
    depth: usize,
}

impl<'x> Xml<'x> {
    pub(super) fn begin(out: &'x mut dyn Write) -> io::Result<Self> {
        out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
        let mut xml = Self { out, depth: 0 };
        xml.line("<jmeterTestPlan version=\"1.2\" properties=\"5.0\" jmeter=\"5.6.3\">")?;
        xml.depth = 1;
        xml.line("<hashTree>")?;
        xml.depth = 2;
        Ok(xml)
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.up()?;
        self.depth = 0;
        self.line("</jmeterTestPlan>")
    }

    /// An element without children.
    pub(super) fn leaf(&mut self, class: &str, gui: &str, name: &str, props: &[Prop<'_>]) -> io::Result<()> {
        self.element(class, gui, name, props)?;
        self.line("<hashTree/>")
    }

    /// An element whose children follow, until [`Self::up`].
    pub(super) fn down(&mut self, class: &str, gui: &str, name: &str, props: &[Prop<'_>]) -> io::Result<()> {
        self.element(class, gui, name, props)?;
        self.line("<hashTree>")?;
        self.depth += 1;
        Ok(())
    }

    pub(super) fn up(&mut self) -> io::Result<()> {
        self.depth -= 1;
        self.line("</hashTree>")
    }

    fn element(&mut self, class: &str, gui: &str, name: &str, props: &[Prop<'_>]) -> io::Result<()> {
        let short = class.rsplit('.').next().unwrap_or(class);
        let test_class = if class.contains('.') { class } else { short };
        self.line(&format!(
            "<{class} guiclass=\"{gui}\" testclass=\"{test_class}\" testname=\"{}\" enabled=\"true\">",
            escaped(name)
        ))?;
        self.depth += 1;
        for prop in props {
            match prop {
                Prop::Text(name, value) => self.line(&text(name, value))?,
                Prop::Flag(name, value) => self.line(&format!("<boolProp name=\"{name}\">{value}</boolProp>"))?,
                Prop::Raw(xml) => self.line(xml)?,
            }
        }
        self.depth -= 1;
        self.line(&format!("</{class}>"))
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{:width$}{line}", "", width = 2 * self.depth)
    }
}

/// A string property.
pub(super) fn text(name: &str, value: &str) -> String {
    format!("<stringProp name=\"{name}\">{}</stringProp>", escaped(value))
}

/// A collection of named pairs: `Header` or `Argument`.
pub(super) fn pairs(collection: &str, kind: &str, pairs: &[(String, String)]) -> String {
    let mut xml = format!("<collectionProp name=\"{collection}\">");
    for (name, value) in pairs {
        let element = if kind == "Argument" { escaped(name) } else { String::new() };
        let more = if kind == "Argument" { text("Argument.metadata", "=") } else { String::new() };
        xml.push_str(&format!(
            "\n<elementProp name=\"{element}\" elementType=\"{kind}\">{}{}{more}</elementProp>",
            text(&format!("{kind}.name"), name),
            text(&format!("{kind}.value"), value)
        ));
    }
    xml.push_str("</collectionProp>");
    xml
}

/// For text and attributes alike. Line ends are written as references, else a parser would make `\n` of them all.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' | '\n' | '\t' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
