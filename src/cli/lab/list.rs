//! `lab list`: the causes that can be planted.

use std::{io::Write as _, process::ExitCode};

use serde_json::{Map, Value, json};

use crate::{
    cli::{Output, exit_code},
    lab::{
        causes::{CAUSES, Plant},
        scenario::Scenario,
    },
};

/// Options of `lab list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &Args, out: &mut Output) -> anyhow::Result<ExitCode> {
    for info in CAUSES {
        let plant = Plant::new(info);
        // What is right depends on the load: this is the one that the evaluation would prepare.
        let mut scenario = Scenario::default();
        (info.prepare)(&mut scenario);
        let right = (info.right)(&plant, &scenario);
        if args.json {
            let parameters: Vec<Value> = info
                .parameters
                .iter()
                .map(|parameter| {
                    let mut object = Map::new();
                    object.insert("name".to_owned(), json!(parameter.name));
                    object.insert("about".to_owned(), json!(parameter.about));
                    object.insert("default".to_owned(), json!(parameter.domain.write(parameter.default)));
                    object.insert("allowed".to_owned(), json!(parameter.domain.to_string()));
                    Value::Object(object)
                })
                .collect();
            let object = json!({"id": info.id, "summary": info.summary, "parameters": parameters, "right": right});
            out.json_line(&object)?;
            continue;
        }
        writeln!(out, "{}\n    {}", info.id, info.summary)?;
        for parameter in info.parameters {
            let default = parameter.domain.write(parameter.default);
            writeln!(out, "    {}={default}  {}; {}", parameter.name, parameter.about, parameter.domain)?;
        }
        if !right.is_empty() {
            writeln!(out, "    found as {}", right.join(" or "))?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}
