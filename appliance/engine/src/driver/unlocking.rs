//! The administrator's password: judges what was typed at a console, one at a time and beside the loop, for that takes some
//! time by intent. What a console may do after that is the console's to keep.

use std::cell::RefCell;
use std::rc::Rc;

use halcyon_core::control::{Response, Typed};
use halcyon_kernel::Kernel;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Driver;
use crate::attempts::Attempts;
use crate::clock;

/// Shared with the attempt that is being judged.
pub(super) type Shared = Rc<RefCell<Attempts>>;

impl<K: Kernel> Driver<K> {
    /// Answers whether this is the password.
    pub(super) fn unlock(&self, typed: Typed, from: String, answer: oneshot::Sender<Response>) {
        let admin = self.binding.document().and_then(|(document, _)| document.config.admin.clone());
        let Some(admin) = admin else {
            let why = "the document sets no admin password: consoles only show";
            drop(answer.send(Response::Refused(why.into())));
            return;
        };
        if let Err(wait) = self.attempts.borrow_mut().begin(clock::now()) {
            let why = format!("too many attempts; wait {} s", wait.as_secs() + 1);
            drop(answer.send(Response::Refused(why)));
            return;
        }
        let attempts = Rc::clone(&self.attempts);
        tokio::task::spawn_local(async move {
            let judged = tokio::task::spawn_blocking(move || admin.password.is_of(&typed.0)).await;
            let response = match judged {
                Ok(true) => {
                    attempts.borrow_mut().right();
                    info!(from, "the admin password was given");
                    Response::Done("unlocked".into())
                }
                Ok(false) => {
                    warn!(from, "a wrong admin password was given");
                    Response::Refused("that is not the admin password".into())
                }
                Err(_) => Response::Refused("the password could not be judged; try again".into()),
            };
            // A peer that has gone needs no answer.
            let _ = answer.send(response);
        });
    }
}
