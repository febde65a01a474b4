//! How well causes are found: what is planted, on which load, and how an answer is judged. PURE: the answers themselves
//! are brought by whoever composes lab and diagnosis. Nothing here may be shaped after what the diagnosis finds.

mod loads;
mod score;
mod table;

use crate::{
    lab::{
        api::RefusedBy,
        causes::{CAUSES, CauseInfo, Plant},
        random::Random,
        scenario::Scenario,
        world::{self, Run},
    },
    model::columns::Outcome,
};

pub use loads::LOADS;
pub use score::{Score, Share, ThresholdScore, score};
pub use table::Table;

/// What is asked of a run.
#[derive(Clone, Copy)]
pub enum Question {
    /// One cause is planted.
    Single(&'static CauseInfo),
    /// Two are.
    Pair(&'static CauseInfo, &'static CauseInfo),
    /// None is: refusals are random, or there was an outage.
    Null(&'static CauseInfo),
}

/// Ids of pairs that are planted together: causes of clients, of load, of order and of places, mixed.
const PAIRS: &[(&str, &str)] = &[
    ("inflight-limit", "unresolved-variable"),
    ("request-rate", "malformed-json"),
    ("metadata-before-ready", "inflight-limit"),
    ("metadata-before-open", "head-growth"),
    ("outage", "accept-missing"),
    ("bad-instance", "content-type"),
    ("open-sockets", "wrong-date-type"),
    ("shared-token", "charset"),
    ("inflight-per-route", "metadata-too-late"),
    ("bad-tenant", "duplicate-header"),
    ("connection-rate", "bad-path-value"),
    ("authorization-malformed", "empty-identifier"),
];

/// Ids of nulls, with how many of ten they are.
const NULLS: &[(&str, u64)] = &[("random-refusals", 5), ("bursty-refusals", 3), ("outage", 2)];

impl Question {
    /// All causes that are none by intention.
    pub fn singles() -> Vec<Self> {
        let is_null = |info: &&CauseInfo| matches!(info.id, "random-refusals" | "bursty-refusals");
        CAUSES.iter().copied().filter(|info| !is_null(info)).map(Self::Single).collect()
    }

    /// All pairs.
    pub fn pairs() -> Vec<Self> {
        PAIRS.iter().filter_map(|(first, second)| Some(Self::Pair(find(first)?, find(second)?))).collect()
    }

    /// The null of that number: half of them are independent, the others bursty or an outage.
    pub fn null(number: u64) -> Option<Self> {
        let mut place = number % 10;
        for (id, count) in NULLS {
            if place < *count {
                return find(id).map(Self::Null);
            }
            place -= count;
        }
        None
    }

    /// What it is called in a table.
    pub fn name(&self) -> String {
        match self {
            Self::Single(info) => info.id.to_owned(),
            Self::Pair(first, second) => format!("{} + {}", first.id, second.id),
            Self::Null(info) => format!("null: {}", info.id),
        }
    }

    fn causes(&self) -> Vec<&'static CauseInfo> {
        match self {
            Self::Single(info) | Self::Null(info) => vec![info],
            Self::Pair(first, second) => vec![first, second],
        }
    }
}

fn find(id: &str) -> Option<&'static CauseInfo> {
    CAUSES.iter().copied().find(|info| info.id == id)
}

/// A run that was made to be diagnosed.
pub struct Trial {
    /// What is asked.
    pub question: Question,
    /// Which of [`LOADS`].
    pub load: usize,
    /// By which chance.
    pub seed: u64,
    /// What ran. The question's plants come first, then what is harmless.
    pub scenario: Scenario,
    /// What it gave.
    pub run: Run,
}

/// How many refusals of each plant a run must have to be asked about.
const ENOUGH: usize = 80;
/// Beyond this share of refusals a limit is set too low to be a limit.
const TOO_MANY: f64 = 0.4;

impl Trial {
    /// Makes the run: where nothing was planted it is made first, so that limits are put where that load reaches them.
    pub fn new(question: Question, load: usize, seed: u64) -> Self {
        let name: u64 =
            question.name().bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let mut random = Random::new(seed, name.wrapping_add(load as u64));
        let mut scenario = loads::scenario(load, seed, &mut random);
        for info in question.causes() {
            (info.prepare)(&mut scenario);
        }
        loads::harmless(&mut scenario, &question.causes(), &mut random);
        let noise = std::mem::take(&mut scenario.plants);
        let calm = world::run(&scenario);
        let mut plants: Vec<Plant> = question.causes().into_iter().map(Plant::new).collect();
        for plant in &mut plants {
            plant.set_typical(&calm.counts, &mut random);
        }
        let asked = plants.len();
        scenario.plants = plants.into_iter().chain(noise).collect();
        let run = reach(&mut scenario, asked);
        Self { question, load, seed, scenario, run }
    }
}

/// Runs a scenario, and moves limits that its load hardly reaches, or drowns in, has more users share a token where that
/// does not help, and makes it longer where it gives too few refusals. `asked`: so many of its plants, the first ones, are
/// to be reached.
pub fn reach(scenario: &mut Scenario, asked: usize) -> Run {
    let mut run = world::run(scenario);
    let mut sought = vec![Sought::default(); asked];
    for _ in 0..MOST_TRIES {
        let counts: Vec<usize> = (0..asked).map(|plant| refused_by(&run, plant)).collect();
        let all = run.columns.units.len().max(1) as f64;
        let mut changed = false;
        let drowned = counts.iter().any(|count| (*count as f64) < DROWNED * counts.iter().sum::<usize>() as f64);
        for ((plant, count), sought) in scenario.plants.iter_mut().zip(&counts).zip(&mut sought) {
            let has_limit = plant.info.parameters.iter().any(|parameter| parameter.name == "limit");
            let is_most = 2 * count > counts.iter().sum();
            if has_limit && (*count as f64 > TOO_MANY * all || (drowned && is_most)) {
                changed |= set(plant, sought.higher(plant.number("limit")));
            } else if has_limit && *count < ENOUGH / 2 && plant.number("limit") > 1.0 {
                changed |= set(plant, sought.lower(plant.number("limit"), *count == 0));
            }
        }
        // One at once is refused nothing yet: what is counted is counted by token, and too few bear the same.
        let is_starved = |(plant, count): (&Plant, &usize)| {
            let has_limit = plant.info.parameters.iter().any(|parameter| parameter.name == "limit");
            has_limit && *count < ENOUGH / 2 && plant.number("limit") <= 1.0
        };
        if !changed && scenario.tokens > 2 && scenario.plants.iter().zip(&counts).any(is_starved) {
            scenario.tokens /= 2;
            changed = true;
        }
        if !changed && counts.iter().any(|count| *count < ENOUGH) && scenario.duration_ns < LONGEST_NS {
            scenario.duration_ns = scenario.duration_ns * 8 / 5;
            changed = true;
        }
        if !changed {
            break;
        }
        run = world::run(scenario);
    }
    run
}

/// Between what a limit is sought: one that refuses too much may be next to one that refuses nothing, since clients that
/// are refused come back the sooner.
#[derive(Clone, Copy, Default)]
struct Sought {
    too_low: Option<f64>,
    too_high: Option<f64>,
}

impl Sought {
    /// The next one to try where that one refuses too much.
    fn higher(&mut self, limit: f64) -> f64 {
        self.too_low = Some(limit);
        // Where nothing lies between, too much is better than nothing.
        self.too_high.map_or_else(|| (limit * 1.15).ceil(), |high| ((limit + high) / 2.0).floor().max(limit))
    }

    /// The next one to try where that one refuses too little, or nothing: then it is far off.
    fn lower(&mut self, limit: f64, nothing: bool) -> f64 {
        self.too_high = Some(limit);
        let by = if nothing { 0.8 } else { 0.92 };
        self.too_low.map_or_else(|| (limit * by).floor(), |low| ((low + limit) / 2.0).floor())
    }
}

/// Sets a limit; whether that changes it.
fn set(plant: &mut Plant, limit: f64) -> bool {
    let before = plant.number("limit");
    plant.set("limit", limit);
    plant.number("limit") != before
}

/// Of two causes one that refuses less than this share is hardly there beside the other.
const DROWNED: f64 = 0.06;
/// So often a limit is moved, or a run made longer.
const MOST_TRIES: usize = 12;

/// No run is made longer than this.
pub const LONGEST_NS: i64 = 160_000_000_000;

/// How many units that plant refused.
fn refused_by(run: &Run, plant: usize) -> usize {
    run.refused_by.iter().filter(|by| **by == Some(RefusedBy::Plant(plant))).count()
}

/// How many units were refused.
fn refused(run: &Run) -> usize {
    run.columns.units.outcome.iter().filter(|outcome| **outcome == Outcome::Refused).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_between_nothing_and_too_much_is_found_by_halves() {
        // Up to 57 everything is refused, from 58 to 60 some, beyond nothing.
        for from in [10.0, 57.0, 61.0, 90.0, 400.0] {
            let (mut sought, mut limit) = (Sought::default(), from);
            let tries = (0..20).find(|_| {
                limit = match limit {
                    low if low < 58.0 => sought.higher(low),
                    high if high > 60.0 => sought.lower(high, true),
                    _ => return true,
                };
                false
            });
            assert!(tries.is_some(), "from {from}: {limit}");
        }
        // Where nothing lies between, it stays with too much.
        let mut sought = Sought { too_low: Some(7.0), too_high: Some(8.0) };
        assert_eq!((sought.lower(8.0, true), sought.higher(7.0)), (7.0, 7.0));
    }
}
