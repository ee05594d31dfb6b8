//! The ranking network, served in the place of its students: as good as they might hope to become, and what it would cost.

use super::other::Other;
use crate::app::iterate::System;

/// The scene's first teacher. r(x) is the mean over all of them, or what was given in its place.
pub(super) const TEACHER: Other = Other(|_| System::Teacher);
