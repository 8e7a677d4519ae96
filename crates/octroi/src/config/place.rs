//! Where in the file something stands, and what it is called there.

use std::fmt::{self, Write as _};

/// A position in the config file, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Place {
    /// The beginning of the file: where a problem of the whole file is shown.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value with the place it was read from.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Place,
}

/// One key of a section after decoding.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// The key is not in the file.
    Absent,
    /// The key is there and its problem has been reported: later checks leave it alone.
    Faulty(Place),
    /// The key is there and its value could be read.
    Given(At<T>),
}

impl<T> Field<T> {
    pub(super) fn given(&self) -> Option<&T> {
        match self {
            Self::Given(field) => Some(&field.value),
            Self::Absent | Self::Faulty(_) => None,
        }
    }

    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Given(field) => Some(field.at),
            Self::Faulty(at) => Some(*at),
            Self::Absent => None,
        }
    }

    pub(super) fn is_faulty(&self) -> bool {
        matches!(self, Self::Faulty(_))
    }
}

/// One step from the top of the file to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Writes steps the way people say them: `services[0].routes[2].price`.
pub(super) fn spell(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => {
                path.push('.');
                path.push_str(key);
            }
            Step::Index(index) => {
                let _ = write!(path, "[{index}]"); // a String takes everything
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_spelled_as_people_say_it() {
        let key = |key: &str| Step::Key(key.to_owned());
        let steps = [key("services"), Step::Index(0), key("routes"), Step::Index(2), key("price")];
        assert_eq!(spell(&steps), "services[0].routes[2].price");
        assert_eq!(spell(&[]), "");
    }
}
