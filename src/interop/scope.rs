//! Reads one part of a [`StateDict`], and detects unread tensors.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::{HostTensor, StateDict};
use crate::error::{Error, Result};

/// The tensors below one prefix. The scope records which tensors were read. A tensor that no layer reads is an error
/// instead of a silently different model.
pub(super) struct Scope<'a> {
    dict: &'a StateDict,
    prefix: String,
    read: Rc<RefCell<BTreeSet<String>>>,
}

impl<'a> Scope<'a> {
    /// All tensors below `prefix`; an empty prefix means the whole dictionary.
    pub(super) fn new(dict: &'a StateDict, prefix: &str) -> Self {
        Self { dict, prefix: prefix.into(), read: Rc::default() }
    }

    /// The scope of a part of this scope.
    pub(super) fn within(&self, part: &str) -> Self {
        Self { dict: self.dict, prefix: self.full(part), read: Rc::clone(&self.read) }
    }

    /// The full name in the file.
    pub(super) fn full(&self, name: &str) -> String {
        match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => name.into(),
            (_, true) => self.prefix.clone(),
            _ => format!("{}.{name}", self.prefix),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.dict.contains(&self.full(name))
    }

    /// Whether there is a tensor below `part`.
    pub(super) fn has_part(&self, part: &str) -> bool {
        let start = format!("{}.", self.full(part));
        self.dict.names_from(&start).next().is_some()
    }

    /// The numbers `k` with tensors below `part.k`, in ascending order.
    pub(super) fn numbered(&self, part: &str) -> Vec<usize> {
        let start = format!("{}.", self.full(part));
        let number = |name: &str| name.strip_prefix(&start)?.split('.').next()?.parse().ok();
        self.dict
            .names_from(&start)
            .filter_map(number)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// The tensor called `name`, with the given shape if there is one.
    pub(super) fn tensor(&self, name: &str, shape: Option<&[usize]>) -> Result<&'a HostTensor> {
        let full = self.full(name);
        let tensor = match shape {
            Some(shape) => self.dict.get_shaped(&full, shape)?,
            None => self.dict.get(&full)?,
        };
        self.read.borrow_mut().insert(full);
        Ok(tensor)
    }

    /// Finite floats with the given shape.
    pub(super) fn floats(&self, name: &str, shape: &[usize]) -> Result<&'a [f64]> {
        self.finite(name, self.tensor(name, Some(shape))?)
    }

    /// Finite floats of any shape with `D` axes.
    pub(super) fn floats_of_rank<const D: usize>(
        &self,
        name: &str,
    ) -> Result<(&'a [f64], [usize; D])> {
        let tensor = self.tensor(name, None)?;
        let shape = <[usize; D]>::try_from(tensor.shape()).map_err(|_| {
            self.wrong(name, format!("needs {D} axes, found shape {:?}", tensor.shape()))
        })?;
        if shape.contains(&0) {
            return Err(self.wrong(name, format!("is empty: shape {shape:?}")));
        }
        Ok((self.finite(name, tensor)?, shape))
    }

    fn finite(&self, name: &str, tensor: &'a HostTensor) -> Result<&'a [f64]> {
        let values =
            tensor.as_floats().ok_or_else(|| self.wrong(name, "does not hold floats".into()))?;
        // A larger value would be infinite in f32, and no layer needs it in f64.
        match values.iter().position(|v| v.abs() > f64::from(f32::MAX) || v.is_nan()) {
            Some(at) => {
                let reason = format!("element {at} is {}, expected a finite f32", values[at]);
                Err(self.wrong(name, reason))
            }
            None => Ok(values),
        }
    }

    /// The tensor as a list of indices.
    pub(super) fn indices(&self, name: &str) -> Result<Vec<usize>> {
        let tensor = self.tensor(name, None)?;
        self.as_indices(name, tensor.as_ints())
    }

    /// Returns an error unless `back` inverts the valid permutation `order`, for libraries that save both.
    pub(super) fn expect_inverse(&self, name: &str, order: &[usize], back: &[usize]) -> Result<()> {
        let undone = |(to, &from): (usize, &usize)| back.get(from) == Some(&to);
        if back.len() == order.len() && order.iter().enumerate().all(undone) {
            return Ok(());
        }
        Err(self.wrong(name, format!("{back:?} is not the inverse of {order:?}")))
    }

    /// Converts integers of the file to indices. The caller checks their upper bound.
    pub(super) fn as_indices(&self, name: &str, values: Option<&[i64]>) -> Result<Vec<usize>> {
        let values = values.ok_or_else(|| self.wrong(name, "does not hold integers".into()))?;
        let index = |&v: &i64| {
            usize::try_from(v).map_err(|_| self.wrong(name, format!("must be indices, found {v}")))
        };
        values.iter().map(index).collect()
    }

    /// Whether a flag is set. Libraries save flags as booleans or as floats.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        let tensor = self.tensor(name, Some(&[]))?;
        match (tensor.as_bools(), tensor.as_floats()) {
            (Some(&[set]), _) => Ok(set),
            (_, Some(&[value])) if value == 0.0 || value == 1.0 => Ok(value == 1.0),
            _ => Err(self.wrong(name, "must hold one flag: false or true, 0 or 1".into())),
        }
    }

    /// An error for a missing tensor, which lists existing names.
    pub(super) fn missing(&self, name: &str) -> Error {
        self.dict.missing(&self.full(name), &[])
    }

    /// An error about one tensor.
    pub(super) fn wrong(&self, name: &str, reason: String) -> Error {
        Error::Tensor { name: self.full(name), reason }
    }

    /// Adds the name of the tensor to an error about its values.
    pub(super) fn named<T>(&self, name: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.wrong(name, error.to_string()))
    }

    /// Returns an error if a tensor below the prefix was not read.
    pub(super) fn finish(&self) -> Result<()> {
        let start = if self.prefix.is_empty() { String::new() } else { self.full("") + "." };
        let read = self.read.borrow();
        match self.dict.names_from(&start).find(|name| !read.contains(*name)) {
            Some(name) => {
                let found = self.dict.get(name)?.shape().to_vec();
                Err(Error::UnusedTensor { name: name.into(), found })
            }
            None => Ok(()),
        }
    }
}

/// Reads the part below `prefix`, and returns an error if a tensor of the part was not read.
pub(super) fn whole<T>(
    dict: &StateDict,
    prefix: &str,
    read: impl FnOnce(&Scope<'_>) -> Result<T>,
) -> Result<T> {
    let scope = Scope::new(dict, prefix);
    let layer = read(&scope)?;
    scope.finish()?;
    Ok(layer)
}
