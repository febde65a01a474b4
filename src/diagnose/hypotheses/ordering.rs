//! Ordering: metadata and sockets. By rule.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "metadata-before-open",
        kind: Kind::Flag,
        unit: None,
        means: "Metadata was sent before its session's socket was open, so the server may not know the session yet.",
        advice: "Send metadata from the socket's open callback, not beside it: in JMeter, put it after the sampler that opens the connection, in the same thread.",
        refuted_by: "Refusals of metadata that was sent well after OPEN, or accepted metadata that was sent as early.",
    },
    Hypothesis {
        id: "metadata-before-ready",
        kind: Kind::Flag,
        unit: None,
        means: "Metadata was sent before the frame by which the server says that it is ready.",
        advice: "Wait for that frame before sending metadata.",
        refuted_by: "Refusals of metadata that was sent after that frame.",
    },
    Hypothesis {
        id: "metadata-too-soon",
        kind: Kind::Flag,
        unit: None,
        means: "Metadata came sooner after OPEN than the profile's window allows.",
        advice: "Hold metadata back until the window begins.",
        refuted_by: "Refusals of metadata within the window.",
    },
    Hypothesis {
        id: "metadata-too-late",
        kind: Kind::Flag,
        unit: None,
        means: "Metadata came later after OPEN than the profile's window allows.",
        advice: "Send it sooner, or open the socket later.",
        refuted_by: "Refusals of metadata within the window.",
    },
    Hypothesis {
        id: "metadata-without-socket",
        kind: Kind::Flag,
        unit: None,
        means: "A session sent metadata and never asked for a socket.",
        advice: "See why the socket's sampler did not run: an If controller, an earlier failure.",
        refuted_by: "Refusals of metadata of sessions with an open socket.",
    },
    Hypothesis {
        id: "metadata-after-failed-open",
        kind: Kind::Flag,
        unit: None,
        means: "The socket was refused, and metadata was sent all the same.",
        advice: "Stop the iteration when the upgrade fails; look at the body of the refused upgrade.",
        refuted_by: "Refusals of metadata whose socket opened.",
    },
    Hypothesis {
        id: "metadata-after-close",
        kind: Kind::Flag,
        unit: None,
        means: "Metadata was sent after its session's socket had closed.",
        advice: "Keep the socket open until the answer to the metadata is there.",
        refuted_by: "Refusals of metadata whose socket was open.",
    },
    Hypothesis {
        id: "frame-before-open",
        kind: Kind::Flag,
        unit: None,
        means: "The client sent frames before the server had granted the upgrade.",
        advice: "Wait for the 101 before sending frames.",
        refuted_by: "Refusals on sockets whose first frame came after the 101.",
    },
    Hypothesis {
        id: "frame-overtaken",
        kind: Kind::Flag,
        unit: None,
        means: "A frame was overtaken by a request that the client sent after it: it waited for an acknowledgement (Nagle).",
        advice: "Set TCP_NODELAY, or let the request wait for an answer to the frame.",
        refuted_by: "Refusals where frame and request arrived in order.",
    },
];
