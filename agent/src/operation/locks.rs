//! Turns: one mutation at a time for each key, first come, first served.
//!
//! A ticket takes its place in all of its queues at once, when it is drawn, so that two tickets
//! over the same keys never wait for each other.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The queues. A handle: clones are the same queues.
#[derive(Debug)]
pub struct Turns<K>(Arc<Mutex<Queues<K>>>);

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Turns<K> {
        Turns(self.0.clone())
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Turns<K> {
        Turns(Arc::new(Mutex::new(Queues { next: 0, waiting: HashMap::new(), heads: HashMap::new() })))
    }
}

#[derive(Debug)]
struct Queues<K> {
    next: u64,
    waiting: HashMap<K, VecDeque<u64>>,
    /// For each ticket, in how many queues it is not the first yet, and how to tell it.
    heads: HashMap<u64, (usize, Arc<Notify>)>,
}

/// A place in the queues; dropping it lets the next one go.
#[derive(Debug)]
pub struct Ticket<K: Clone + Eq + Hash> {
    turns: Turns<K>,
    id: u64,
    keys: Vec<K>,
    called: Arc<Notify>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Takes a place behind everybody who waits for one of `keys`.
    pub fn draw(&self, mut keys: Vec<K>) -> Ticket<K> {
        let mut distinct = Vec::with_capacity(keys.len());
        keys.retain(|key| {
            !distinct.contains(key) && {
                distinct.push(key.clone());
                true
            }
        });
        let called = Arc::new(Notify::new());
        let mut queues = self.lock();
        let id = queues.next;
        queues.next += 1;
        let mut behind = 0;
        for key in &keys {
            let queue = queues.waiting.entry(key.clone()).or_default();
            behind += usize::from(!queue.is_empty());
            queue.push_back(id);
        }
        queues.heads.insert(id, (behind, called.clone()));
        drop(queues);
        Ticket { turns: self.clone(), id, keys, called }
    }

    fn lock(&self) -> MutexGuard<'_, Queues<K>> {
        // Nothing in here panics between two writes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Ticket<K> {
    /// Waits until it is this ticket's turn for all of its keys.
    pub async fn turn(&self) {
        loop {
            let called = self.called.notified();
            if self.turns.lock().heads.get(&self.id).is_none_or(|(behind, _)| *behind == 0) {
                return;
            }
            called.await;
        }
    }
}

impl<K: Clone + Eq + Hash> Drop for Ticket<K> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        queues.heads.remove(&self.id);
        for key in &self.keys {
            let Some(queue) = queues.waiting.get_mut(key) else { continue };
            let first = queue.front() == Some(&self.id);
            queue.retain(|id| *id != self.id);
            let next = queue.front().copied();
            if next.is_none() {
                queues.waiting.remove(key);
            }
            if first && let Some((behind, called)) = next.and_then(|next| queues.heads.get_mut(&next)) {
                *behind -= 1;
                if *behind == 0 {
                    called.notify_one();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_on(ticket: &Ticket<&str>) -> bool {
        tokio::select! {
            biased;
            () = ticket.turn() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_second_ticket_for_a_key_waits_for_the_first() {
        let turns = Turns::default();
        let (first, second, other) = (turns.draw(vec!["a"]), turns.draw(vec!["a"]), turns.draw(vec!["b"]));
        assert!(is_on(&first).await && !is_on(&second).await && is_on(&other).await);
        drop(first);
        assert!(is_on(&second).await);
    }

    #[tokio::test]
    async fn turns_come_in_the_order_in_which_tickets_were_drawn() {
        let turns = Turns::default();
        let mut tickets: Vec<_> = (0..5).map(|_| turns.draw(vec!["a"])).collect();
        // One that gives up in the middle of the queue holds nobody up.
        drop(tickets.remove(2));
        while !tickets.is_empty() {
            assert!(is_on(&tickets[0]).await);
            for later in &tickets[1..] {
                assert!(!is_on(later).await);
            }
            drop(tickets.remove(0));
        }
        assert!(turns.lock().waiting.is_empty() && turns.lock().heads.is_empty());
    }

    #[tokio::test]
    async fn tickets_over_the_same_keys_never_wait_for_each_other() {
        let turns = Turns::default();
        let (ab, ba, b) =
            (turns.draw(vec!["a", "b"]), turns.draw(vec!["b", "a", "b"]), turns.draw(vec!["b"]));
        assert!(is_on(&ab).await && !is_on(&ba).await && !is_on(&b).await);
        drop(ab);
        assert!(is_on(&ba).await && !is_on(&b).await);
        drop(ba);
        assert!(is_on(&b).await);
    }

    #[tokio::test]
    async fn a_waiter_is_woken() {
        let turns = Turns::default();
        let (first, second) = (turns.draw(vec!["a"]), turns.draw(vec!["a"]));
        let waiter = tokio::spawn(async move { second.turn().await });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiter.await.is_ok());
    }
}
