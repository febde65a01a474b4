//! Which of several explanations that these data cannot tell apart is named first: what is wrong before how it shows.
#![expect(clippy::indexing_slicing, reason = "every index comes from the lengths of the vectors made here")]

use super::{
    alike::{self, Standing},
    candidate::{Candidate, Kind},
    hypotheses,
    list::{Holding, Search},
};

/// Flags that say of a dose that it is large, or small: the dose says more.
const OF_A_DOSE: &[(&str, &str)] = &[
    ("head-too-large", "head-size"),
    ("metadata-too-late", "since-open"),
    ("metadata-too-soon", "since-open"),
    ("shared-token", "inflight-per-token"),
];
/// A flag that covers this share of the refusals of a dose, as purely, says what they are.
const NEARLY_ALL: f64 = 0.95;

/// The dose that a flag is of.
fn dose_of(flag: &str) -> Option<&'static str> {
    OF_A_DOSE.iter().find(|(known, _)| *known == flag).map(|(_, dose)| *dose)
}

impl Search<'_> {
    /// What holds, best first, with its equals in order.
    pub(super) fn in_order(&self, left: &[u32], holding: Vec<Holding>) -> Vec<Holding> {
        self.causes_first(left, self.numbers_first(left, self.doses_first(left, self.flags_first(left, holding))))
    }

    /// The best one that is no route: those are taken where nothing else is.
    fn best<'a>(&self, holding: &'a [Holding]) -> Option<&'a Holding> {
        holding.iter().find(|held| self.candidates[held.candidate].hypothesis != "contrast:route")
    }

    /// Puts a flag before the one by which the same defect shows as well: `${id}` is no identifier either.
    fn causes_first(&self, left: &[u32], mut holding: Vec<Holding>) -> Vec<Holding> {
        let hypothesis = |held: &Holding| self.candidates[held.candidate].hypothesis.as_str();
        let Some(best) = holding.first() else { return holding };
        let model = |held: &Holding| self.model(&self.candidates[held.candidate], held.split, left, true);
        let (id, sign) = (hypothesis(best), model(best));
        let is_cause = |held: &Holding| {
            hypotheses::signs(hypothesis(held)).contains(&id)
                && alike::cannot_be_told(self.sample, left, &sign, &model(held))
        };
        if let Some(at) = holding.iter().position(is_cause) {
            let cause = holding.remove(at);
            holding.insert(0, cause);
        }
        holding
    }

    /// Puts a flag before what these data cannot tell from it: it says what is wrong, where a dose or a header's value is
    /// only how that shows.
    fn flags_first(&self, left: &[u32], mut holding: Vec<Holding>) -> Vec<Holding> {
        let is_flag = |held: &Holding| {
            let candidate = &self.candidates[held.candidate];
            matches!(candidate.kind, Kind::Flag) && dose_of(&candidate.hypothesis).is_none()
        };
        let best = self.best(&holding).filter(|held| !is_flag(held));
        let (Some(best), Some(at)) = (best, holding.iter().position(is_flag)) else { return holding };
        let by_route = self.candidates[holding[at].candidate].within_routes;
        let model = |held: &Holding| self.model(&self.candidates[held.candidate], held.split, left, by_route);
        if self.names_the_same(left, best, &holding[at])
            || alike::cannot_be_told(self.sample, left, &model(best), &model(&holding[at]))
        {
            let flag = holding.remove(at);
            holding.insert(0, flag);
        }
        holding
    }

    /// Puts a dose before the flag that says of it that it is large or small, where these data do not tell them apart.
    fn doses_first(&self, left: &[u32], mut holding: Vec<Holding>) -> Vec<Holding> {
        let hypothesis = |held: &Holding| self.candidates[held.candidate].hypothesis.as_str();
        let Some(flag) = self.best(&holding) else { return holding };
        let Some(dose) = dose_of(hypothesis(flag)) else { return holding };
        let Some(at) = holding.iter().position(|held| hypothesis(held) == dose) else { return holding };
        let model = |candidate: &Candidate, split| self.model(candidate, split, left, true);
        let (candidate, split) = (&self.candidates[holding[at].candidate], holding[at].split);
        // A flag's limit is exact: the dose's bins must not make it the better one.
        let sharp = candidate.sharpened(split.cut).map(|sharp| (self.on_all(&sharp, left).0, sharp));
        let dose = match &sharp {
            Some((split, sharp)) => model(sharp, *split),
            None => model(candidate, split),
        };
        let flag = model(&self.candidates[flag.candidate], flag.split);
        if alike::standing(self.sample, left, &flag, &dose) != Standing::Other {
            let dose = holding.remove(at);
            holding.insert(0, dose);
        }
        holding
    }

    /// Puts the number of requests before their bytes where these tell nothing more.
    fn numbers_first(&self, left: &[u32], mut holding: Vec<Holding>) -> Vec<Holding> {
        let is = |held: &Holding, hypothesis: &str| self.candidates[held.candidate].hypothesis == hypothesis;
        let Some(bytes) = holding.first().filter(|best| is(best, "byte-rate")) else { return holding };
        let Some(at) = holding.iter().position(|held| is(held, "request-rate")) else { return holding };
        let model = |held: &Holding| self.model(&self.candidates[held.candidate], held.split, left, true);
        if alike::cannot_be_told(self.sample, left, &model(bytes), &model(&holding[at])) {
            let number = holding.remove(at);
            holding.insert(0, number);
        }
        holding
    }

    /// Whether a flag covers what the best explanation finds refused, and no more of what is accepted.
    fn names_the_same(&self, left: &[u32], best: &Holding, flag: &Holding) -> bool {
        let covers = |held: &Holding, position: usize| {
            held.split.covers(self.candidates[held.candidate].bins[position] as usize)
        };
        let affected = self.affected(&self.candidates[best.candidate], best.split, left);
        let (mut of_best, mut of_flag, mut both) = ((0.0, 0.0), (0.0, 0.0), 0.0);
        for position in left.iter().map(|position| *position as usize) {
            let hit = f64::from(u8::from(self.sample.refused[position]));
            let acts = affected.contains(&self.sample.stratum[position]);
            let (best, flag) = (acts && covers(best, position), covers(flag, position));
            if best {
                of_best = (of_best.0 + hit, of_best.1 + 1.0);
            }
            if flag {
                of_flag = (of_flag.0 + hit, of_flag.1 + 1.0);
            }
            if best && flag {
                both += hit;
            }
        }
        both >= NEARLY_ALL * of_best.0 && of_flag.0 * of_best.1 >= NEARLY_ALL * of_best.0 * of_flag.1
    }
}
