//! NDJSON: the rows of `ls --json`, one a line, secrets replaced by all values instead of by those seen so far.

use std::{io::Write, ops::ControlFlow};

use crate::{
    model::rows::Row,
    query::{Kind, Query, Secrets, wire},
};

use super::{Error, Format, Job, write_error};

pub(super) const FORMAT: Format =
    Format { id: "ndjson", summary: "the rows of `ls --json`, one object a line", extension: "ndjson", write };

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    // A filter of exchanges means nothing for most other rows.
    let kinds = match (job.options.rows.as_slice(), job.filter) {
        ([], None) => Kind::ALL.to_vec(),
        ([], Some(_)) => vec![Kind::Exchanges],
        (kinds, _) => kinds.to_vec(),
    };
    let secrets = if job.options.keep_secrets { Secrets::Kept } else { Secrets::Fingerprints };
    let mut bodies = 0;
    for kind in kinds {
        let query = Query { secrets, ..job.query() };
        let mut count = 0;
        let mut line = Vec::new();
        job.capture.list(kind, query, &mut |row| {
            line.clear();
            wire::write_row(&row, &mut line).map_err(write_error)?;
            let mut scrubber = job.scrubber.borrow_mut();
            out.write_all(&scrubber.values(&line)).map_err(write_error)?;
            if let Row::Exchange(row) = &row {
                bodies += u64::from(row.request_body_bytes > 0);
                bodies += u64::from(row.response_body_bytes.is_some_and(|bytes| bytes > 0));
            }
            count += 1;
            (job.progress)(count);
            Ok(ControlFlow::Continue(()))
        })?;
        job.report.wrote(kind.as_str(), count);
    }
    job.report.left_out("bodies", bodies);
    Ok(())
}
