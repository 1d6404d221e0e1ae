//! Whether a mirror may delete what is on its list: decided on the whole of it, before the run's first write (I6).

use protocol::api::Listed;
use protocol::collection::Collection;
use protocol::mirror::{MaxDelete, MirrorOrder};

/// A source that lost no more documents than this since the last sync did not shrink.
const FEW: u64 = 10;

/// What a list says of one collection.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub collection: Collection,
    pub candidates: u64,
    pub listed: Listed,
    /// How many documents the source had at the last sync from it.
    pub at_source_before: Option<u64>,
}

/// What the agent's own config allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub delete: bool,
    pub max_delete: Option<MaxDelete>,
}

/// Why not, in words; none if it may.
pub(crate) fn refusals(order: &MirrorOrder, own: Own, counted: &[Counted]) -> Vec<String> {
    let mut refusals: Vec<String> = counted.iter().filter_map(|of| refusal(order, own, of)).collect();
    let candidates: u64 = counted.iter().map(|of| of.candidates).sum();
    if candidates > 0 && !own.delete {
        refusals.push("this agent's own config lets nobody delete (delete = false under [agent])".into());
    }
    if let Some(MaxDelete::Documents(most)) = own.max_delete
        && candidates > most
    {
        refusals.push(format!(
            "{candidates} documents would be deleted in all; this agent's own config lets a run delete {most} \
             (max_delete under [agent])"
        ));
    }
    refusals
}

fn refusal(order: &MirrorOrder, own: Own, of: &Counted) -> Option<String> {
    let Counted { candidates, listed, at_source_before, .. } = of;
    let Listed { there, at_source, unproven } = listed;
    if *candidates == 0 {
        return None;
    }
    let name = words(&of.collection);
    if let Some(reason) = unproven {
        return Some(format!("{name}: {candidates} documents seem to be missing at the source, but {reason}"));
    }
    if !order.allow_shrunk {
        let why = match at_source_before {
            _ if *at_source == 0 => Some("the source is empty".to_owned()),
            Some(before) if at_source.saturating_mul(2) < *before && before - at_source > FEW => {
                Some(format!("the source has {at_source} documents, at the last sync it had {before}"))
            }
            _ => None,
        };
        if let Some(why) = why {
            return Some(format!(
                "{name}: {candidates} of {there} documents would be deleted, because {why}. If that is right, say so \
                 with --allow-shrunk"
            ));
        }
    }
    let most = order.max_delete.map_or_else(|| MaxDelete::usually_of(*there), |limit| limit.of(*there));
    if *candidates > most {
        return Some(format!(
            "{name}: {candidates} of {there} documents would be deleted, and no more than {most} may. If that is \
             right, allow it with --max-delete {candidates}"
        ));
    }
    match own.max_delete {
        Some(limit @ MaxDelete::Percent(percent)) if *candidates > limit.of(*there) => Some(format!(
            "{name}: {candidates} of {there} documents would be deleted; this agent's own config lets a run delete \
             {percent}% of them (max_delete under [agent])"
        )),
        _ => None,
    }
}

fn words(collection: &Collection) -> String {
    let (resource, model) = collection.resource();
    if resource == model { resource.into() } else { format!("{resource} {model}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Own = Own { delete: true, max_delete: None };

    fn order(max_delete: Option<MaxDelete>, allow_shrunk: bool) -> MirrorOrder {
        MirrorOrder {
            run: "r".into(),
            source: "s".into(),
            target: "t".into(),
            scope: Vec::new(),
            max_delete,
            allow_shrunk,
        }
    }

    fn counted(candidates: u64, there: u64, at_source: u64, before: Option<u64>) -> Counted {
        let listed = Listed { there, at_source, unproven: None };
        Counted { collection: Collection::Items("posts".into()), candidates, listed, at_source_before: before }
    }

    fn is_refused(order: &MirrorOrder, own: Own, of: Counted) -> bool {
        !refusals(order, own, &[of]).is_empty()
    }

    #[test]
    fn without_a_limit_a_fifth_or_a_hundred_may_go() {
        let usual = order(None, false);
        assert!(!is_refused(&usual, FREE, counted(100, 110, 10, None)));
        assert!(is_refused(&usual, FREE, counted(101, 110, 9, None)));
        assert!(!is_refused(&usual, FREE, counted(200, 1000, 800, None)));
        assert!(is_refused(&usual, FREE, counted(201, 1000, 799, None)));
    }

    #[test]
    fn a_limit_that_was_asked_for_is_the_limit() {
        assert!(is_refused(&order(Some(MaxDelete::Documents(3)), false), FREE, counted(4, 1000, 996, None)));
        assert!(!is_refused(&order(Some(MaxDelete::Percent(50)), false), FREE, counted(500, 1000, 500, None)));
        assert!(is_refused(&order(Some(MaxDelete::Percent(50)), false), FREE, counted(501, 1000, 499, None)));
        assert!(is_refused(&order(Some(MaxDelete::Documents(0)), false), FREE, counted(1, 9, 8, None)));
    }

    #[test]
    fn a_source_that_is_empty_or_shrank_is_not_believed_unless_somebody_says_so() {
        let all = Some(MaxDelete::Percent(100));
        for of in [counted(5, 5, 0, None), counted(60, 100, 40, Some(100))] {
            assert!(is_refused(&order(all, false), FREE, of.clone()));
            assert!(!is_refused(&order(all, true), FREE, of));
        }
        assert!(!is_refused(&order(all, false), FREE, counted(50, 100, 50, Some(100))), "half of it");
        assert!(!is_refused(&order(all, false), FREE, counted(8, 10, 2, Some(10))), "a few");
    }

    #[test]
    fn what_is_not_proven_is_refused_whatever_is_allowed() {
        let mut of = counted(1, 1000, 999, None);
        of.listed.unproven = Some("it has no table".into());
        assert!(is_refused(&order(Some(MaxDelete::Percent(100)), true), FREE, of.clone()));
        of.candidates = 0;
        assert!(!is_refused(&order(None, false), FREE, of), "nothing is to be deleted because of it");
    }

    #[test]
    fn the_agents_own_config_has_the_last_word() {
        let all = order(Some(MaxDelete::Percent(100)), true);
        assert!(is_refused(&all, Own { delete: false, max_delete: None }, counted(1, 10, 9, None)));
        assert!(!is_refused(&all, Own { delete: false, max_delete: None }, counted(0, 10, 9, None)));
        let ten = Own { delete: true, max_delete: Some(MaxDelete::Documents(10)) };
        assert!(!refusals(&all, ten, &[counted(6, 100, 94, None), counted(5, 100, 95, None)]).is_empty(), "in all");
        let tenth = Own { delete: true, max_delete: Some(MaxDelete::Percent(10)) };
        assert!(is_refused(&all, tenth, counted(11, 100, 89, None)));
        assert!(!is_refused(&all, tenth, counted(10, 100, 90, None)));
    }
}
