//! The decision list: take the candidate that explains most of what is left, keep it if it survives its tests, remove
//! what it covers, repeat.
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{columns::NONE, finding::Direction},
    stats::binomial::Binomial,
};

use super::{
    Options,
    alike::{self, Standing},
    candidate::{Candidate, Kind, MISSING},
    sample::Sample,
    shifts::{self, Layout, Tested},
    split::{self, InOut, Side, Split, Table},
    threshold::{self, Answer, Question},
    window::{self, Window},
};

/// A cause must explain at least this share of all refusals.
const LEAST_SHARE: f64 = 0.01;
/// And this many.
const LEAST_REFUSED: usize = 10;
/// What follows from refusals and keeps less than this of what it explains tells nothing of its own.
const LEAST_OF_ITS_OWN: f64 = 0.2;
/// A dose that removes so much of the uncertainty may be an exact limit.
const NEARLY_EXACT: f64 = 0.5;
/// So many units are the begin of a window, and a load that so few of the accepted meet was high then.
const ONSET: usize = 9;
const SELDOM: f64 = 0.01;
/// A value that so many sessions bear must be refused also where the one in so many that is refused most is left out.
const MANY: usize = 10;
/// Doses are stratified by a dose that was taken before in so many steps, each half as wide as the one before towards
/// what was refused: what lies close to a limit here may lie beyond it at the server.
const DOSE_STEPS: usize = 8;
/// What an intermediary refused without a pattern is a cause from this share of all refusals on.
const MATERIAL: f64 = 0.05;
/// It is none where so many of the accepted look the same.
const USUAL_MARK: f64 = 0.05;
/// A route of which this share is refused is refused whatever is sent.
const WHATEVER: f64 = 0.95;
/// So many times more is clearly more.
const CLEARLY: f64 = 1.25;
/// Steps of what was refused just before: see [`Sample::recent`], and [`Sample::own`].
const RECENT_STEPS: usize = 5 * OWN_STEPS;
const OWN_STEPS: usize = 3;

/// What was taken.
pub(super) struct Taken {
    pub(super) what: What,
    /// Positions that were left when it was taken, in the order of time.
    pub(super) left: Vec<u32>,
    /// Those of them that it covers.
    pub(super) covered: Vec<u32>,
    /// What it gains, less its penalty.
    pub(super) gain: f64,
    /// Its family-wise p value.
    pub(super) p: f64,
    /// Hypotheses that these data cannot tell from it.
    pub(super) alike: Vec<String>,
}

/// What it is.
pub(super) enum What {
    /// A flag or a value of a contrast: the candidate and its bin.
    Candidate(usize, usize),
    /// A dose.
    Dose(usize, Box<Answer>),
    /// What an intermediary answered, whatever was asked.
    Answered,
    /// An outage, from a unit to a unit (positions, both included).
    Window(u32, u32),
}

/// How a candidate fared.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) hypothesis: String,
    /// Less its penalty.
    pub(super) gain: f64,
    pub(super) p: Option<f64>,
    pub(super) why: Why,
}

/// Why a candidate was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Chance does as well.
    Chance,
    /// Another one explained more.
    Worse,
    /// It follows refusals: once what was refused just before is known, it tells nothing.
    Follows,
    /// What was taken before explains it.
    Explained,
    /// It explains too few.
    Few,
}

/// All that was found.
pub(super) struct Found {
    pub(super) taken: Vec<Taken>,
    /// Each candidate's best trial, by candidate.
    pub(super) tried: Vec<Tried>,
    /// Admissible shifts of the first round.
    pub(super) admissible: usize,
    /// Positions that nothing covers.
    pub(super) left: Vec<u32>,
}

/// All that a round needs.
pub(super) struct Search<'a> {
    pub(super) sample: &'a Sample,
    pub(super) candidates: &'a [Candidate],
    pub(super) options: &'a Options,
    pub(super) binomial: &'a Binomial,
}

/// A candidate that holds against chance.
pub(super) struct Holding {
    pub(super) candidate: usize,
    pub(super) split: Split,
    score: f64,
    p: f64,
}

impl Search<'_> {
    /// Runs it over these positions.
    pub(super) fn run(&self, positions: Vec<u32>, progress: &mut dyn FnMut(f64)) -> Found {
        let mut found = Found { taken: Vec::new(), tried: self.untried(), admissible: 0, left: positions };
        let all_refused = self.refused(&found.left);
        let least = LEAST_REFUSED.max((LEAST_SHARE * all_refused as f64).ceil() as usize);
        for round in 0..self.options.max_causes {
            let left = found.left.clone();
            let refused = self.refused(&left);
            if refused < least || refused == left.len() {
                break;
            }
            let outcomes: Vec<bool> = left.iter().map(|p| self.sample.refused[*p as usize]).collect();
            let wanted = self.options.min_shifts;
            let shifts = shifts::draw(&outcomes, wanted, self.options.seed);
            if round == 0 {
                found.admissible = shifts.admissible;
            }
            if shifts.admissible < wanted {
                break;
            }
            let base = f64::from(round as u32) / self.options.max_causes as f64;
            let part = 1.0 / self.options.max_causes as f64;
            let window = window::find(&outcomes, self.binomial);
            let holding = self.holding(&left, &shifts.shares, &mut found, &mut |done| progress(base + part * done));
            let chosen = self.choose(&left, holding, window, &shifts.shares, least, &mut found);
            // Who answers from before the API may have reasons that cannot be seen here; a route is none.
            let chosen = match chosen {
                Some(taken) if !self.is_route(&taken) => Some(taken),
                other => self.answered(&left, all_refused).or(other),
            };
            let Some(taken) = chosen else { break };
            let covered: BTreeSet<u32> = taken.covered.iter().copied().collect();
            found.left.retain(|position| !covered.contains(position));
            found.taken.push(taken);
        }
        found
    }

    fn is_route(&self, taken: &Taken) -> bool {
        matches!(&taken.what, What::Candidate(of, _) if self.candidates[*of].hypothesis == "contrast:route")
    }

    /// What an intermediary refused, where it makes a material share and what is accepted comes from the API. This is
    /// counted, not tested: who answered is known.
    fn answered(&self, left: &[u32], all_refused: usize) -> Option<Taken> {
        let is_own = |position: &u32| self.sample.by_intermediary[*position as usize];
        let covered: Vec<u32> = left.iter().copied().filter(is_own).collect();
        let (refused, refused_left) = (self.refused(&covered), self.refused(left));
        let accepted = (covered.len() - refused) as f64;
        let least = (LEAST_REFUSED as f64).max(MATERIAL * all_refused as f64);
        if (refused as f64) < least || accepted > USUAL_MARK * (left.len() - refused_left) as f64 {
            return None;
        }
        let others = (refused_left - refused, left.len() - covered.len());
        let gain = self.binomial.split((refused as u32, covered.len() as u32), (others.0 as u32, others.1 as u32));
        Some(Taken { what: What::Answered, left: left.to_vec(), covered, gain, p: 0.0, alike: Vec::new() })
    }

    fn untried(&self) -> Vec<Tried> {
        let tried = |candidate: &Candidate| Tried {
            hypothesis: candidate.hypothesis.clone(),
            gain: 0.0,
            p: None,
            why: Why::Chance,
        };
        self.candidates.iter().map(tried).collect()
    }

    /// How many of these were refused.
    pub(super) fn refused(&self, positions: &[u32]) -> usize {
        positions.iter().filter(|position| self.sample.refused[**position as usize]).count()
    }

    /// Whether it was taken already: a flag, a dose of either counting; another value of a contrast is another cause,
    /// and so is a dose's other side.
    fn is_taken(&self, candidate: &Candidate, found: &Found) -> bool {
        let same = |taken: &Taken| match &taken.what {
            What::Candidate(of, _) => {
                self.candidates[*of].hypothesis == candidate.hypothesis
                    && !matches!(candidate.kind, Kind::Contrast { .. })
            }
            What::Dose(of, _) => self.candidates[*of].hypothesis == candidate.hypothesis,
            What::Window(..) | What::Answered => false,
        };
        found.taken.iter().any(same)
    }

    /// The candidates that hold against chance, best first.
    fn holding(&self, left: &[u32], shares: &[f64], found: &mut Found, progress: &mut dyn FnMut(f64)) -> Vec<Holding> {
        let thin = shifts::thinned(left, &self.sample.refused, self.options.seed);
        let by_route = self.layout(&thin, self.sample.strata(), |p| self.sample.stratum[p as usize] as usize);
        let pooled = self.layout(&thin, 1, |_| 0);
        let open: Vec<usize> =
            (0..self.candidates.len()).filter(|at| !self.is_taken(&self.candidates[*at], found)).collect();
        let family: Vec<(&Candidate, &Layout)> = open
            .iter()
            .map(|at| {
                let candidate = &self.candidates[*at];
                (candidate, if candidate.within_routes { &by_route } else { &pooled })
            })
            .collect();
        let tested = shifts::test(&family, shares, self.binomial, progress);
        let mut holding: Vec<Holding> = Vec::new();
        for (at, tested) in open.into_iter().zip(tested) {
            let candidate = &self.candidates[at];
            let (split, mut gain) = self.on_all(candidate, left);
            if follows_refusals(candidate, split) {
                let own = self.own_share(candidate, split, left);
                gain *= if own < LEAST_OF_ITS_OWN { 0.0 } else { own };
            }
            if !self.tells_how_much(candidate, split, left) || !self.is_of_many(candidate, split, left) {
                gain = 0.0;
            }
            let score = gain - candidate.penalty(left.len());
            let holds = tested.p <= self.options.level_of_a_test() && score > 0.0;
            note(&mut found.tried[at], score, Some(tested.p), if holds { Why::Worse } else { Why::Chance });
            if holds {
                holding.push(Holding { candidate: at, split, score, p: tested.p });
            }
        }
        holding.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.candidate.cmp(&b.candidate)));
        holding
    }

    /// Whether a dose tells refused from accepted among the units that have it: that those without it fare otherwise says
    /// nothing of how much is too much.
    fn tells_how_much(&self, candidate: &Candidate, split: Split, left: &[u32]) -> bool {
        if !matches!(candidate.kind, Kind::Dose { .. }) {
            return true;
        }
        let Some(known) = self.table(candidate, left).known() else { return true };
        split::curve_gain(&known, split, self.binomial) > candidate.penalty(left.len())
    }

    /// Whether a contrast's value is refused where it is borne, and not with a few of the many sessions that bear it:
    /// those have another reason, and what they have in common with the others is none.
    fn is_of_many(&self, candidate: &Candidate, split: Split, left: &[u32]) -> bool {
        if !matches!(candidate.kind, Kind::Contrast { .. }) || split.gain <= 0.0 {
            return true;
        }
        let bears = |position: usize| split.covers(candidate.bins[position] as usize);
        let mut refused: BTreeMap<u32, usize> = BTreeMap::new();
        for position in left.iter().map(|position| *position as usize).filter(|position| bears(*position)) {
            let session = self.sample.session[position];
            if session != NONE {
                *refused.entry(session).or_default() += usize::from(self.sample.refused[position]);
            }
        }
        if refused.len() < MANY {
            return true;
        }
        let mut most: Vec<(usize, u32)> = refused.into_iter().map(|(session, refused)| (refused, session)).collect();
        most.sort_unstable_by(|a, b| b.cmp(a));
        most.truncate(most.len().div_ceil(MANY));
        let few: BTreeSet<u32> = most.into_iter().map(|(_, session)| session).collect();
        let is_other = |position: &u32| {
            let position = *position as usize;
            !(bears(position) && few.contains(&self.sample.session[position]))
        };
        let others: Vec<u32> = left.iter().copied().filter(is_other).collect();
        let (again, gain) = self.on_all(candidate, &others);
        again.cut == split.cut && gain - candidate.penalty(others.len()) > LEAST_OF_ITS_OWN * split.gain
    }

    fn layout(&self, positions: &[u32], strata: usize, stratum: impl Fn(u32) -> usize) -> Layout {
        Layout::new(positions, strata, stratum, &self.sample.refused)
    }

    /// Its best split on all that is left, and what its curve gains.
    pub(super) fn on_all(&self, candidate: &Candidate, left: &[u32]) -> (Split, f64) {
        let table = self.table(candidate, left);
        let split = split::best(candidate, &table, self.binomial);
        (split, split::curve_gain(&table, split, self.binomial))
    }

    /// The share of what a candidate explains that is its own, where refusals may bring it about. A limit that one token
    /// alone exceeds, and for long, is told from what was refused just before only where the cut is exact: bins blur that.
    /// What tells something of its own and is refused beyond an exact cut, whatever is sent, is a limit: all is its own.
    fn own_share(&self, candidate: &Candidate, split: Split, left: &[u32]) -> f64 {
        let (own, removed) = self.of_its_own(candidate, split, left);
        if removed < NEARLY_EXACT {
            return own;
        }
        let Some(sharp) = candidate.sharpened(split.cut) else { return own };
        let (exact, _) = self.on_all(&sharp, left);
        let own = own.max(self.of_its_own(&sharp, exact, left).0);
        let beyond = self
            .sides(&sharp, exact, left)
            .iter()
            .fold((0, 0), |sum, (inside, _)| (sum.0 + inside.0, sum.1 + inside.1));
        let is_limit = f64::from(beyond.0) >= WHATEVER * f64::from(beyond.1);
        if own >= LEAST_OF_ITS_OWN && is_limit { 1.0 } else { own }
    }

    /// How much of the uncertainty that is left once what was refused just before is known a candidate removes, against
    /// what it removes without; and how much it removes without. What follows from refusals tells nothing new then; a
    /// cause tells as much as before.
    fn of_its_own(&self, candidate: &Candidate, split: Split, left: &[u32]) -> (f64, f64) {
        let strata = self.sample.strata();
        let mut with: Vec<InOut> = vec![InOut::default(); strata * RECENT_STEPS];
        let mut without: Vec<InOut> = vec![InOut::default(); strata];
        for position in left.iter().map(|position| *position as usize) {
            let stratum = if candidate.within_routes { self.sample.stratum[position] as usize } else { 0 };
            let covers = split.covers(candidate.bins[position] as usize);
            let hit = u32::from(self.sample.refused[position]);
            let recent = self.recent(candidate, position).min(RECENT_STEPS - 1);
            for sides in [&mut without[stratum], &mut with[stratum * RECENT_STEPS + recent]] {
                let side = if covers { &mut sides.0 } else { &mut sides.1 };
                side.0 += hit;
                side.1 += 1;
            }
        }
        let removed = |cells: &[InOut]| {
            let gain: f64 = cells.iter().map(|(inside, outside)| self.binomial.split(*inside, *outside)).sum();
            let all: f64 = cells.iter().map(|(a, b)| -self.binomial.at_best(a.0 + b.0, a.1 + b.1)).sum();
            if all > 0.0 { gain.max(0.0) / all } else { 0.0 }
        };
        let before = removed(&without);
        let own = if before > 0.0 { (removed(&with) / before).min(1.0) } else { 0.0 };
        (own, before)
    }

    /// What had been refused just before that could bring the candidate about: anything, and of the client's own where
    /// its own pace is the dose (who is always refused goes round faster), or what it waited for or sends the lack of a
    /// refused one's answer.
    fn recent(&self, candidate: &Candidate, position: usize) -> usize {
        let own = match candidate.hypothesis.as_str() {
            "request-rate-per-token"
            | "token-requests-per-minute"
            | "connection-ordinal"
            | "connection-idle"
            | "metadata-before-open"
            | "metadata-before-ready"
            | "metadata-without-socket" => self.sample.own[position] as usize,
            _ if candidate.comes_with_answers => self.sample.own[position] as usize,
            _ => 0,
        };
        self.sample.recent[position] as usize * OWN_STEPS + own
    }

    /// A candidate's table over these positions, in its strata.
    fn table(&self, candidate: &Candidate, left: &[u32]) -> Table {
        let strata = if candidate.within_routes { self.sample.strata() } else { 1 };
        let mut table = Table::new(strata, candidate.count);
        for position in left.iter().map(|position| *position as usize) {
            let stratum = if candidate.within_routes { self.sample.stratum[position] as usize } else { 0 };
            let slot = table.slot(stratum, candidate.bins[position]);
            table.add(slot, self.sample.refused[position]);
        }
        table
    }

    /// Takes the best one that survives the further tests.
    fn choose(
        &self,
        left: &[u32],
        holding: Vec<Holding>,
        window: Option<Window>,
        shares: &[f64],
        least: usize,
        found: &mut Found,
    ) -> Option<Taken> {
        let window = window.map(|window| {
            let score = self.window_gain(left, &window) - self.window_penalty(left.len());
            (window, score)
        });
        let outage = window.as_ref().filter(|(_, score)| *score > 0.0);
        let holding = self.in_order(left, holding);
        let is_route = |holding: &&Holding| self.candidates[holding.candidate].hypothesis == "contrast:route";
        // A route that is refused more explains some of whatever happens on it: it is taken where nothing else is, or
        // where it is refused whatever is sent, and what else holds tells no more than its few accepted ones.
        let whatever = holding.iter().find(is_route).filter(|route| self.is_refused_whatever(route, left));
        let explained = whatever.map_or(0.0, |route| self.explained(route, left));
        let gives_way = |held: &&Holding| {
            whatever.is_some_and(|route| held.score < route.score && CLEARLY * self.explained(held, left) < explained)
        };
        let (behind, before): (Vec<&Holding>, Vec<&Holding>) =
            holding.iter().filter(|held| !is_route(held)).partition(gives_way);
        let in_turn = before.into_iter().chain(holding.iter().filter(is_route)).chain(behind);
        let mut outage_tried = false;
        for held in in_turn {
            if let Some((window, score)) = outage
                && !outage_tried
                && (*score >= held.score || is_route(&held))
            {
                outage_tried = true;
                if let Some(taken) = self.take_window(left, window, *score, &holding, least, shares, found) {
                    return Some(taken);
                }
            }
            match self.take(left, held, &holding, window.as_ref(), shares, least, found) {
                Ok(taken) => return Some(taken),
                Err(why) => note_again(&mut found.tried[held.candidate], held, why),
            }
        }
        let (window, score) = outage.filter(|_| !outage_tried)?;
        self.take_window(left, window, *score, &holding, least, shares, found)
    }

    /// Whether nearly all of what bears a value was refused.
    fn is_refused_whatever(&self, held: &Holding, left: &[u32]) -> bool {
        let bins = &self.candidates[held.candidate].bins;
        let own: Vec<u32> = left.iter().copied().filter(|p| held.split.covers(bins[*p as usize] as usize)).collect();
        self.refused(&own) as f64 >= WHATEVER * own.len() as f64
    }

    /// How many more were refused on its side than would have been at the rate of the other, within its strata.
    fn explained(&self, held: &Holding, left: &[u32]) -> f64 {
        let candidate = &self.candidates[held.candidate];
        let rate = |(hits, total): (u32, u32)| f64::from(hits) / f64::from(total.max(1));
        let more = |(inside, outside): &InOut| f64::from(inside.0) - rate(*outside) * f64::from(inside.1);
        self.sides(candidate, held.split, left).iter().map(more).sum()
    }

    /// The window's p value. Where it fails, something else may refuse in bursts outside of it: what that covers is set
    /// aside, and the window is tested again on the rest.
    fn window_p(&self, left: &[u32], window: &Window, shares: &[f64], least: usize, found: &Found) -> f64 {
        let shuffles = self.options.min_shifts;
        let outcomes = |positions: &[u32]| -> Vec<bool> {
            positions.iter().map(|position| self.sample.refused[*position as usize]).collect()
        };
        let p = window::p_value(&outcomes(left), window, shuffles, self.options.seed, self.binomial);
        let outside: Vec<u32> = left[..window.from].iter().chain(&left[window.to..]).copied().collect();
        if p <= self.options.level_of_a_test() || self.refused(&outside) < least {
            return p;
        }
        let mut aside = Found { taken: Vec::new(), tried: self.untried(), admissible: 0, left: Vec::new() };
        let holding = self.holding(&outside, shares, &mut aside, &mut |_| ());
        let is_route = |held: &Holding| self.candidates[held.candidate].hypothesis == "contrast:route";
        let other = holding
            .iter()
            .filter(|held| !is_route(held))
            .find_map(|held| self.take(&outside, held, &holding, None, shares, least, found).ok());
        let Some(other) = other else { return p };
        let covered: BTreeSet<u32> = other.covered.into_iter().collect();
        // Within the window nothing is set aside: it is the window that is judged.
        let kept = |(at, position): (usize, &u32)| {
            let inside = (window.from..window.to).contains(&at);
            (inside || !covered.contains(position)).then_some((inside, *position))
        };
        let kept: Vec<(bool, u32)> = left.iter().enumerate().filter_map(kept).collect();
        let from = kept.iter().position(|(inside, _)| *inside).unwrap_or_default();
        let rest: Vec<u32> = kept.into_iter().map(|(_, position)| position).collect();
        let rest = outcomes(&rest);
        let to = from + (window.to - window.from);
        let gain = window::gain(&rest, from, to, self.binomial);
        window::p_value(&rest, &Window { from, to, gain }, shuffles, self.options.seed, self.binomial)
    }

    fn window_penalty(&self, n: usize) -> f64 {
        // Two ends, each of some hundred places.
        (n.max(2) as f64).ln() + 2.0 * 5.0
    }

    /// What a window gains within the routes, as a dose's gain is reckoned.
    fn window_gain(&self, left: &[u32], window: &Window) -> f64 {
        let mut sides = vec![((0, 0), (0, 0)); self.sample.strata()];
        for (at, position) in left.iter().enumerate() {
            let sides = &mut sides[self.sample.stratum[*position as usize] as usize];
            let side = if (window.from..window.to).contains(&at) { &mut sides.0 } else { &mut sides.1 };
            side.0 += u32::from(self.sample.refused[*position as usize]);
            side.1 += 1;
        }
        sides.into_iter().map(|(inside, outside)| self.binomial.split(inside, outside)).sum()
    }

    #[expect(clippy::too_many_arguments, reason = "one round's state")]
    fn take_window(
        &self,
        left: &[u32],
        window: &Window,
        score: f64,
        holding: &[Holding],
        least: usize,
        shares: &[f64],
        found: &Found,
    ) -> Option<Taken> {
        let covered = left[window.from..window.to].to_vec();
        if self.refused(&covered) < least {
            return None;
        }
        let p = self.window_p(left, window, shares, least, found);
        if p > self.options.level_of_a_test() {
            return None;
        }
        let (from, to) = (*covered.first()?, *covered.last()?);
        let inside = |at: usize| (window.from..window.to).contains(&at);
        let model = alike::Model::of_window(self.sample, left, true, inside);
        let mut alike_to = Vec::new();
        for other in holding {
            let candidate = &self.candidates[other.candidate];
            if alike::cannot_be_told(self.sample, left, &model, &self.model(candidate, other.split, left, true)) {
                push_new(&mut alike_to, &candidate.hypothesis);
            }
        }
        // A load that rose past its limit once or twice fails the test of shifts, as an outage does, and looks like one.
        // Where it tells who was refused better than the time does, it is what there is one stretch of.
        let mut better: Option<Holding> = None;
        for (at, candidate) in self.candidates.iter().enumerate() {
            if !matches!(candidate.kind, Kind::Dose { .. }) || self.is_taken(candidate, found) {
                continue;
            }
            let (split, gain) = self.on_all(candidate, left);
            let brought_about = follows_refusals(candidate, split)
                && self.own_share(candidate, split, left) < LEAST_OF_ITS_OWN
                && !self.was_there_first(candidate, left, window);
            let score = gain - candidate.penalty(left.len());
            if score <= 0.0 || brought_about || !self.tells_how_much(candidate, split, left) {
                continue;
            }
            let sharp = candidate.sharpened(split.cut);
            let (sharp, its) = match &sharp {
                Some(sharp) => (sharp, self.on_all(sharp, left).0),
                None => (candidate, split),
            };
            let standing = alike::standing(self.sample, left, &model, &self.model(sharp, its, left, true));
            if standing != Standing::Other {
                push_new(&mut alike_to, &candidate.hypothesis);
            }
            if standing == Standing::Better && better.as_ref().is_none_or(|best| score > best.score) {
                better = Some(Holding { candidate: at, split, score, p });
            }
        }
        if let Some((held, (what, covered))) = better.and_then(|held| self.covered(&held, left).map(|own| (held, own)))
        {
            let own = &self.candidates[held.candidate].hypothesis;
            alike_to.retain(|id| id != own);
            alike_to.insert(0, "time-window".to_owned());
            return Some(Taken { what, left: left.to_vec(), covered, gain: held.score, p, alike: alike_to });
        }
        Some(Taken { what: What::Window(from, to), left: left.to_vec(), covered, gain: score, p, alike: alike_to })
    }

    /// Whether a load stood higher when a window began than it does where nothing is refused: then refusals have not
    /// brought it about, even if they keep it up.
    fn was_there_first(&self, candidate: &Candidate, left: &[u32], window: &Window) -> bool {
        let bin = |position: &u32| candidate.bins[*position as usize];
        let known = |bins: &mut Vec<u8>| {
            bins.retain(|bin| *bin != MISSING);
            bins.sort_unstable();
        };
        let mut first: Vec<u8> = left[window.from..window.to].iter().take(ONSET).map(bin).collect();
        let outside = left[..window.from].iter().chain(&left[window.to..]);
        let mut accepted: Vec<u8> = outside.filter(|p| !self.sample.refused[**p as usize]).map(bin).collect();
        known(&mut first);
        known(&mut accepted);
        let Some(stood) = first.get(first.len() / 2) else { return false };
        let as_high = accepted.len() - accepted.partition_point(|bin| bin < stood);
        as_high as f64 <= SELDOM * accepted.len() as f64
    }

    pub(super) fn model(&self, candidate: &Candidate, split: Split, left: &[u32], by_route: bool) -> alike::Model {
        alike::Model::of_candidate(self.sample, candidate, split, left, by_route)
    }

    #[expect(clippy::too_many_arguments, reason = "one round's state")]
    fn take(
        &self,
        left: &[u32],
        held: &Holding,
        holding: &[Holding],
        window: Option<&(Window, f64)>,
        shares: &[f64],
        least: usize,
        found: &Found,
    ) -> Result<Taken, Why> {
        let candidate = &self.candidates[held.candidate];
        if follows_refusals(candidate, held.split) && !self.holds_given(candidate, left, shares, &Given::Recent) {
            return Err(Why::Follows);
        }
        for taken in &found.taken {
            if let What::Dose(of, answer) = &taken.what
                && !self.holds_given(candidate, left, shares, &Given::Dose(*of, answer.threshold.direction))
            {
                return Err(Why::Explained);
            }
        }
        let (what, covered) = self.covered(held, left).ok_or(Why::Chance)?;
        if self.refused(&covered) < least {
            return Err(Why::Few);
        }
        let by_route = candidate.within_routes;
        let model = self.model(candidate, held.split, left, by_route);
        let mut alike_to = Vec::new();
        for other in holding.iter().filter(|other| other.candidate != held.candidate) {
            let rival = &self.candidates[other.candidate];
            if rival.hypothesis == candidate.hypothesis {
                continue;
            }
            if alike::cannot_be_told(self.sample, left, &model, &self.model(rival, other.split, left, by_route)) {
                push_new(&mut alike_to, &rival.hypothesis);
            }
        }
        if let Some((window, _)) = window {
            let inside = |at: usize| (window.from..window.to).contains(&at);
            let of_window = alike::Model::of_window(self.sample, left, by_route, inside);
            if alike::cannot_be_told(self.sample, left, &model, &of_window) {
                push_new(&mut alike_to, "time-window");
            }
        }
        Ok(Taken { what, left: left.to_vec(), covered, gain: held.score, p: held.p, alike: alike_to })
    }

    /// What it is exactly, and what it covers.
    fn covered(&self, held: &Holding, left: &[u32]) -> Option<(What, Vec<u32>)> {
        let candidate = &self.candidates[held.candidate];
        match &candidate.kind {
            Kind::Flag | Kind::Contrast { .. } => {
                let bin = held.split.cut;
                let affected = self.affected(candidate, held.split, left);
                let covers = |p: &u32| {
                    candidate.bins[*p as usize] as usize == bin && affected.contains(&self.sample.stratum[*p as usize])
                };
                Some((What::Candidate(held.candidate, bin), left.iter().copied().filter(covers).collect()))
            }
            Kind::Dose { counting, values, .. } => {
                let question = Question {
                    sample: self.sample,
                    values,
                    bins: &candidate.bins,
                    split: held.split,
                    left,
                    counting: *counting,
                    hidden: self.hidden(candidate),
                    replicates: self.options.bootstrap,
                    seed: self.options.seed,
                };
                let answer = threshold::find(&question, self.binomial)?;
                let covers = |p: &u32| answer.covers(values[*p as usize], self.sample.stratum[*p as usize]);
                let covered = left.iter().copied().filter(covers).collect();
                Some((What::Dose(held.candidate, Box::new(answer)), covered))
            }
        }
    }

    /// What transit hides of a time: round trips differ; and where we hold back what it begins with, it has begun at the
    /// server before, and where we hold back what it ends with, it ends there later. Counts are shifted already.
    fn hidden(&self, candidate: &Candidate) -> (f64, f64) {
        let Sample { transit_ns, held_ns, .. } = self.sample;
        if is_time(&candidate.hypothesis) { (*transit_ns, transit_ns + 2.0 * held_ns) } else { (0.0, 0.0) }
    }

    /// The routes on which it acts; all where it is not judged within them.
    pub(super) fn affected(&self, candidate: &Candidate, split: Split, left: &[u32]) -> BTreeSet<u8> {
        if !candidate.within_routes {
            return self.sample.stratum.iter().copied().collect();
        }
        split::affected(&self.sides(candidate, split, left), self.binomial)
    }

    /// Refused and all on its side and on the other, in each of its strata.
    fn sides(&self, candidate: &Candidate, split: Split, left: &[u32]) -> Vec<InOut> {
        let mut sides = vec![InOut::default(); if candidate.within_routes { self.sample.strata() } else { 1 }];
        for position in left.iter().map(|position| *position as usize) {
            let stratum = if candidate.within_routes { self.sample.stratum[position] as usize } else { 0 };
            let sides = &mut sides[stratum];
            let side = if split.covers(candidate.bins[position] as usize) { &mut sides.0 } else { &mut sides.1 };
            side.0 += u32::from(self.sample.refused[position]);
            side.1 += 1;
        }
        sides
    }

    /// Whether it tells something beside what is `given`.
    fn holds_given(&self, candidate: &Candidate, left: &[u32], shares: &[f64], given: &Given) -> bool {
        let thin = shifts::thinned(left, &self.sample.refused, self.options.seed);
        let routes = if candidate.within_routes { self.sample.strata() } else { 1 };
        let route = |p: u32| if candidate.within_routes { self.sample.stratum[p as usize] as usize } else { 0 };
        let (steps, step): (usize, Box<dyn Fn(u32) -> usize>) = match given {
            Given::Recent => (RECENT_STEPS, Box::new(|p| self.recent(candidate, p as usize))),
            Given::Dose(of, direction) => {
                let edges = self.steps_of(*of, *direction, &thin);
                let bins = &self.candidates[*of].bins;
                let step = move |p: u32| {
                    let bin = bins[p as usize];
                    if bin == MISSING { 0 } else { edges.partition_point(|edge| *edge <= bin) }
                };
                (DOSE_STEPS + 1, Box::new(step))
            }
        };
        let layout = self.layout(&thin, routes * steps, |p| route(p) * steps + step(p).min(steps - 1));
        let tested = shifts::test(&[(candidate, &layout)], shares, self.binomial, &mut |_| ());
        tested.first().is_some_and(|tested: &Tested| tested.p <= self.options.level)
    }

    /// Bins that cut a dose into steps.
    fn steps_of(&self, candidate: usize, direction: Direction, positions: &[u32]) -> Vec<u8> {
        let bins = &self.candidates[candidate].bins;
        let mut own: Vec<u8> = positions.iter().map(|p| bins[*p as usize]).filter(|bin| *bin != MISSING).collect();
        own.sort_unstable();
        let edge = |step: usize| {
            let beyond = own.len() >> step;
            let at = if direction == Direction::Above { own.len() - beyond } else { beyond };
            // Below, the step's own end belongs to it.
            own.get(at).map(|bin| if direction == Direction::Above { *bin } else { bin.saturating_add(1) })
        };
        let mut edges: Vec<u8> = (1..DOSE_STEPS).filter_map(edge).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

/// What a candidate is judged within, beside routes.
enum Given {
    /// What was refused just before.
    Recent,
    /// A dose that was taken before, and which side of it was refused.
    Dose(usize, Direction),
}

/// Whether refusals themselves bring it about: they are fast, so clients send more; clients connect anew after them.
fn follows_refusals(candidate: &Candidate, split: Split) -> bool {
    // In a burst of refusals, who is refused a socket asks for one again, or goes on without; what needed the answer
    // lacks it.
    let Kind::Dose { counting, .. } = &candidate.kind else { return true };
    match candidate.hypothesis.as_str() {
        "connection-idle" => true,
        "connection-ordinal" | "since-open" => split.side == Side::Below,
        _ => *counting == Some(crate::model::finding::Counting::Offered),
    }
}

/// Whether a dose is a time, which passes here as it does at the server, but begins and ends otherwise.
fn is_time(hypothesis: &str) -> bool {
    matches!(hypothesis, "since-open" | "connection-idle")
}

fn push_new(ids: &mut Vec<String>, id: &str) {
    if !ids.iter().any(|known| known == id) {
        ids.push(id.to_owned());
    }
}

/// Keeps a candidate's best trial.
fn note(tried: &mut Tried, gain: f64, p: Option<f64>, why: Why) {
    if tried.p.is_none() || gain > tried.gain {
        *tried = Tried { hypothesis: std::mem::take(&mut tried.hypothesis), gain, p, why };
    }
}

fn note_again(tried: &mut Tried, held: &Holding, why: Why) {
    tried.gain = held.score;
    tried.p = Some(held.p);
    tried.why = why;
}
