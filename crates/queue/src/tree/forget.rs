//! Which idle flows may be forgotten without anybody noticing.

use super::{Body, Tree};
use crate::ranking::{Lowest, Ranking};
use crate::settings::Policy;
use crate::slab::NONE;

impl<T, R: Ranking> Tree<T, R> {
    /// Notes that a flow has tasks, and so has every group above it.
    pub(crate) fn wake(&mut self, flow: u32) {
        let mut at = flow;
        while self.node(at).parent != NONE && !self.node(at).awake {
            self.node_mut(at).awake = true;
            at = self.node(at).parent;
            if let Body::Inner(inner) = &mut self.node_mut(at).body {
                inner.awake += 1;
            }
        }
    }

    /// Notes that a flow may have run out of tasks, and every group above it with it.
    ///
    /// Where a group has none left, waiting or in flight, its busy period is over: virtual time moves to where the
    /// furthest child stood, so that all begin again alike. Without that, virtual time would stand still under a
    /// tenant whose runs come one by one, and each of them would be remembered as having taken more than its share.
    fn sleep(&mut self, flow: u32) {
        let mut at = flow;
        while self.node(at).awake && !self.has_tasks(at) {
            self.node_mut(at).awake = false;
            at = self.node(at).parent;
            let inner = self.inner_mut(at);
            inner.awake -= 1;
            if inner.awake == 0 && inner.policy == Policy::Fair {
                inner.now = inner.now.max(inner.furthest);
            }
            self.forget_even(at);
        }
    }

    fn has_tasks(&self, at: u32) -> bool {
        let node = self.node(at);
        match &node.body {
            Body::Inner(inner) => inner.awake > 0,
            Body::Leaf(line) => line.len() > 0 || node.in_flight > 0,
        }
    }

    /// Forgets a node that has become idle, and every group above it that has no child left.
    ///
    /// A flow that has taken no more than its share would begin at the virtual time of its parent, as a new one does:
    /// forgetting it changes nothing. One that has taken more is kept until virtual time has come to where it stands,
    /// or there are too many of them: then virtual time is moved on to the one nearest to even, which costs only
    /// newcomers, and them no more than the spread bound allows anyway.
    pub(crate) fn rest(&mut self, from: u32) {
        if self.has_tasks(from) {
            return;
        }
        self.sleep(from);
        let mut at = from;
        while self.forgetful && self.node(at).parent != NONE && self.is_idle(at) {
            let parent = self.node(at).parent;
            if self.is_even(parent, at) {
                self.forget(at);
                at = parent;
                continue;
            }
            let owes = Lowest(self.rank(at));
            let most = self.max_idle;
            let inner = self.inner_mut(parent);
            let debtors = inner.debtors.get_or_insert_default();
            debtors.push(at, owes);
            if debtors.len() <= most {
                return;
            }
            let (nearest, owes) = debtors.pop().expect("there is at least the one just put in");
            if inner.policy == Policy::Fair {
                inner.now = inner.now.max(owes.0.tag);
            }
            self.forget(nearest);
            at = parent;
        }
    }

    /// Forgets the idle children of a group that virtual time has come to.
    pub(super) fn forget_even(&mut self, parent: u32) {
        while self.inner_mut(parent).debtors.is_some() {
            let inner = self.inner_mut(parent);
            let (now, fair, over) = (inner.now, inner.policy == Policy::Fair, inner.awake == 0);
            let Some(debtors) = &mut inner.debtors else { return };
            match debtors.peek() {
                Some((_, owes)) if over || fair && !owes.0.tag.is_after(now) => {}
                Some(_) => return,
                None => {
                    inner.debtors = None;
                    return;
                }
            }
            let (at, _) = debtors.pop().expect("it was just looked at");
            self.forget(at);
        }
    }

    /// Keeps a node from being forgotten.
    pub(crate) fn pin(&mut self, at: u32) {
        self.leave_debtors(self.node(at).parent, at);
        self.node_mut(at).pins += 1;
    }

    /// Lets a node be forgotten again.
    pub(crate) fn unpin(&mut self, at: u32) {
        self.node_mut(at).pins -= 1;
        self.rest(at);
    }

    /// A debtor is about to have work again, even if its cap does not let it take part yet.
    pub(super) fn leave_debtors(&mut self, parent: u32, at: u32) {
        if let Some(debtors) = &mut self.inner_mut(parent).debtors {
            debtors.remove(&at);
        }
    }

    fn is_idle(&self, at: u32) -> bool {
        let node = self.node(at);
        node.pins == 0
            && node.in_flight == 0
            && match &node.body {
                Body::Inner(inner) => inner.names.is_empty(),
                Body::Leaf(line) => line.len() == 0,
            }
    }

    fn is_even(&self, parent: u32, at: u32) -> bool {
        let inner = self.inner(parent).expect("parents are groups");
        match inner.policy {
            _ if inner.awake == 0 => true,
            Policy::Fair => !self.node(at).start.is_after(inner.now),
            Policy::FinishFirst | Policy::LeastAttained { .. } => self.account(at).attained == 0,
            Policy::Keyed => true,
        }
    }

    fn forget(&mut self, at: u32) {
        let parent = self.node(at).parent;
        let name = std::mem::replace(&mut self.names[at as usize], "".into());
        let finish = self.node(at).start;
        let inner = self.inner_mut(parent);
        inner.names.remove(&name);
        inner.leave_ideal(finish, at);
        let node = self.node_mut(at);
        let (generation, next) = (node.generation, node.next_task);
        *node = super::Node::new(NONE, u8::MAX, Body::leaf());
        (node.generation, node.next_task) = (generation, next);
        if let Some(account) = self.accounts.get_mut(at as usize) {
            *account = super::Account::default();
        }
        self.free.push(at);
    }
}
