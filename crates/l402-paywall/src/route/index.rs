//! One level of lookup: exact path, longest prefix, then regular expressions in order.

use crate::spec::PathPattern;
use http::Method;
use std::collections::HashMap;

/// Maps path patterns and methods to a value.
#[derive(Debug, Clone)]
pub(super) struct PathIndex<T> {
    exact: HashMap<Box<str>, ByMethod<T>>,
    prefix: HashMap<Box<str>, ByMethod<T>>,
    regex: Vec<(regex::Regex, ByMethod<T>)>,
}

/// Values for some methods, and one for all others.
#[derive(Debug, Clone)]
struct ByMethod<T> {
    some: Vec<(Method, T)>,
    others: Option<T>,
}

impl<T> Default for PathIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefix: HashMap::new(), regex: Vec::new() }
    }
}

impl<T: Copy> PathIndex<T> {
    /// Adds a value; no methods means all. The caller has made sure that it is the only one for them.
    pub(super) fn insert(&mut self, pattern: &PathPattern, methods: &[Method], value: T) {
        let empty = ByMethod { some: Vec::new(), others: None };
        let entry = match pattern {
            PathPattern::Exact(path) => self.exact.entry(path.as_str().into()).or_insert(empty),
            PathPattern::Prefix(path) => self.prefix.entry(path.as_str().into()).or_insert(empty),
            PathPattern::Regex(regex) => {
                self.regex.push((regex.clone(), empty));
                let Some((_, entry)) = self.regex.last_mut() else { return };
                entry
            }
        };
        if methods.is_empty() {
            entry.others = Some(value);
        }
        entry.some.extend(methods.iter().map(|method| (method.clone(), value)));
    }

    /// The value of the most specific pattern that covers path and method.
    pub(super) fn find(&self, path: &str, method: &Method) -> Option<T> {
        self.exact
            .get(path)
            .and_then(|entry| entry.get(method))
            .or_else(|| self.longest_prefix(path, method))
            .or_else(|| {
                let mut matching = self.regex.iter().filter(|(regex, _)| regex.is_match(path));
                matching.find_map(|(_, entry)| entry.get(method))
            })
    }

    /// Prefixes end in a slash, so only the path's own slashes are tried.
    fn longest_prefix(&self, path: &str, method: &Method) -> Option<T> {
        if self.prefix.is_empty() {
            return None;
        }
        let slashes = path.rmatch_indices('/');
        slashes.filter_map(|(slash, _)| self.prefix.get(&path[..=slash])).find_map(|entry| entry.get(method))
    }
}

impl<T: Copy> ByMethod<T> {
    /// A rule for `GET` covers `HEAD`, which asks the same resource.
    fn get(&self, method: &Method) -> Option<T> {
        let method = if method == Method::HEAD && !self.some.iter().any(|(m, _)| m == Method::HEAD) {
            &Method::GET
        } else {
            method
        };
        self.some.iter().find(|(m, _)| m == method).map(|(_, value)| *value).or(self.others)
    }
}
