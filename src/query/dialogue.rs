//! Which message on a socket the server refuses. Answers name no message that every profile knows, so they are found by
//! their place: the server answers in order, a message of its own is the answer to the client's oldest open one. One that
//! says that something failed refuses what it answers; where nothing is open (streams answer several times), the client's
//! last message before it. A close for an error refuses what was open, or else the last one. What the server never says
//! anything after is not judged: nobody knows what became of it. PURE.

use std::collections::VecDeque;

/// One socket. Messages of the client are numbered by whoever asks, ascending.
#[derive(Debug, Default)]
pub struct Dialogue {
    /// The client's messages that have no answer.
    open: VecDeque<u32>,
    /// Those of them after which the server has said nothing at all.
    unheard: Vec<u32>,
    last: Option<u32>,
}

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// A part of a message, or a control frame.
    Something,
    /// A message that is complete with this.
    Message {
        /// Whether it says that something failed.
        error: bool,
    },
    /// A part of a message that says that something failed.
    Error,
    /// It closes for an error.
    Close,
}

impl Dialogue {
    /// The client said something.
    pub fn said(&mut self, message: u32) {
        self.open.push_back(message);
        self.unheard.push(message);
        self.last = Some(message);
    }

    /// The server says something: the message that it refuses or accepts with that, and whether it refuses it. `taken`
    /// gets those that were not refused at once.
    pub fn heard(&mut self, says: Says, mut taken: impl FnMut(u32)) -> Option<(u32, bool)> {
        let refused = match says {
            Says::Close => {
                let refused = self.open.pop_front().or(self.last);
                // What came after the one that it was closed for was not looked at any more.
                self.unheard.retain(|message| refused.is_some_and(|refused| *message < refused));
                self.open.clear();
                refused
            }
            Says::Something | Says::Error | Says::Message { .. } => None,
        };
        self.unheard.drain(..).for_each(&mut taken);
        match says {
            Says::Close => refused.map(|message| (message, true)),
            Says::Something => None,
            Says::Error => self.last.map(|message| (message, true)),
            Says::Message { error } => {
                let answered = self.open.pop_front();
                let message = if error { answered.or(self.last) } else { answered };
                message.map(|message| (message, error))
            }
        }
    }
}
