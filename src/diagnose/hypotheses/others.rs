//! Outages, contrasts, and who answered.

use super::{Hypothesis, Kind};

pub(super) const ALL: &[Hypothesis] = &[
    Hypothesis {
        id: "time-window",
        kind: Kind::Other,
        unit: None,
        means: "Everything was refused for a while, whatever the load: an outage, a deployment, a failover.",
        advice: "Repeat the run at another time; give the times of day to the API's support.",
        refuted_by: "Refusals at the same load at another time.",
    },
    Hypothesis {
        id: "contrast:route",
        kind: Kind::Other,
        unit: None,
        means: "One route is refused more than the others, whatever the load.",
        advice: "Compare its requests with accepted ones.",
        refuted_by: "Refusals of the other routes at the same rate.",
    },
    Hypothesis {
        id: "contrast:client",
        kind: Kind::Other,
        unit: None,
        means: "One kind of client (by its TLS and header fingerprint) is refused more than the others.",
        advice: "Compare the heads of both.",
        refuted_by: "The same requests from another client are refused as well.",
    },
    Hypothesis {
        id: "contrast:address",
        kind: Kind::Other,
        unit: None,
        means: "What comes from one client address is refused more than the others.",
        advice: "Compare that injector with the others: its versions, its way to the API, its data.",
        refuted_by: "The same requests from another address are refused as well.",
    },
    Hypothesis {
        id: "contrast:tenant",
        kind: Kind::Other,
        unit: None,
        means: "One tenant's requests are refused more than the others'.",
        advice: "Look at that tenant's settings and limits.",
        refuted_by: "Refusals of the other tenants.",
    },
    Hypothesis {
        id: "contrast:socket",
        kind: Kind::Other,
        unit: None,
        means: "What is sent for a session whose socket stands so (closed by the server, say) is refused more than what is \
                sent for the others.",
        advice: "See who closed those sockets, with which code, and what else happened then: a limit of sockets for one \
                 token closes the oldest. Look whether the socket is still open before sending what needs it.",
        refuted_by: "The same request is refused as often while its session's socket is open.",
    },
    Hypothesis {
        id: "contrast:header:*",
        kind: Kind::Other,
        unit: None,
        means: "One value of a header, or its absence, is refused more than the others.",
        advice: "Send what the accepted requests send.",
        refuted_by: "The same requests with that header changed are refused as well.",
    },
    Hypothesis {
        id: "contrast:path:*",
        kind: Kind::Other,
        unit: None,
        means: "One value in the path is refused more than the others.",
        advice: "Look at that object: does it exist, who may read it.",
        refuted_by: "Refusals of the other values.",
    },
    Hypothesis {
        id: "contrast:server:*",
        kind: Kind::Other,
        unit: None,
        means: "One instance of the server refuses more than the others.",
        advice: "Give its name to the API's support.",
        refuted_by: "Refusals by the other instances.",
    },
    Hypothesis {
        id: "answered-by:api",
        kind: Kind::Other,
        unit: None,
        means: "The API itself refuses.",
        advice: "Quote the correlation ids.",
        refuted_by: "Answers without the API's marks.",
    },
    Hypothesis {
        id: "answered-by:intermediary",
        kind: Kind::Other,
        unit: None,
        means: "Something before the API refuses: a gateway, a CDN, a load balancer.",
        advice: "Ask whoever runs it; its limits are others than the API's.",
        refuted_by: "Refusals that bear the API's marks.",
    },
    Hypothesis {
        id: "answered-by:proxy",
        kind: Kind::Other,
        unit: None,
        means: "This proxy answered in the server's place.",
        advice: "See the connection's error: `show cN`.",
        refuted_by: "Refusals that the server sent.",
    },
];
