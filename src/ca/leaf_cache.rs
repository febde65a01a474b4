//! The leaves made so far, bounded. Handshakes that ask for the same new leaf at once wait for one maker.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustls_pki_types::CertificateDer;

use super::{
    Error,
    leaf::{Leaf, Minter},
};

/// So many leaves are kept (a few KiB each); beyond, the oldest goes.
const MAX_LEAVES: usize = 1024;

/// The asked name and the hash of the certificate that lent its names: one name may lead to several servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Box<str>,
    like: Option<[u8; 32]>,
}

type Slot = Arc<OnceLock<Option<Arc<Leaf>>>>;

#[derive(Debug, Default)]
pub(super) struct LeafCache(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    in_order: VecDeque<Key>,
}

impl LeafCache {
    pub(super) fn find_or_mint(
        &self,
        name: &str,
        like: Option<&CertificateDer<'_>>,
        minter: &Minter,
    ) -> Result<Arc<Leaf>, Error> {
        let name = name.to_ascii_lowercase();
        let key = Key { name: name.as_str().into(), like: like.map(|der| blake3::hash(der).into()) };
        let slot = self.slot(&key);
        // The lock on all slots is free while this one is filled.
        let mut failure = None;
        let leaf =
            slot.get_or_init(|| minter.mint(&name, like).map_err(|error| failure = Some(error)).ok().map(Arc::new));
        match leaf {
            Some(leaf) => Ok(Arc::clone(leaf)),
            None => {
                self.forget(&key);
                Err(failure.unwrap_or_else(|| Error::Mint { name, why: "another handshake failed to make it".into() }))
            }
        }
    }

    fn slot(&self, key: &Key) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_key.get(key)
            && slot.get().is_none_or(|leaf| leaf.as_ref().is_none_or(|leaf| leaf.is_fresh()))
        {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        if slots.by_key.insert(key.clone(), Arc::clone(&slot)).is_none() {
            slots.in_order.push_back(key.clone());
        }
        if slots.in_order.len() > MAX_LEAVES
            && let Some(oldest) = slots.in_order.pop_front()
        {
            slots.by_key.remove(&oldest);
        }
        slot
    }

    fn forget(&self, key: &Key) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.by_key.remove(key);
        slots.in_order.retain(|known| known != key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(slots.by_key.len(), slots.in_order.len());
        slots.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Authority, der};

    fn authority() -> Authority {
        Authority::open_or_create(tempfile::tempdir().unwrap().path()).unwrap()
    }

    #[test]
    fn handshakes_at_once_mint_once() {
        let authority = authority();
        let leaves: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| authority.leaf("API.test", None).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(authority.leaves_minted(), 1);
        assert!(leaves.iter().all(|leaf| Arc::ptr_eq(leaf, &leaves[0])));
        authority.leaf("api.test", None).unwrap();
        assert_eq!(authority.leaves_minted(), 1, "names are compared without case");
    }

    #[test]
    fn names_of_the_servers_certificate_are_copied() {
        let authority = authority();
        let server = rcgen::generate_simple_self_signed(["*.api.test".to_owned(), "10.1.2.3".to_owned()]).unwrap();
        let leaf = authority.leaf("other.test", Some(server.cert.der())).unwrap();
        let names = der::alternative_names(&leaf.certified_key().cert[0]);
        let expected = [
            der::Name::Dns("other.test".into()),
            der::Name::Dns("*.api.test".into()),
            der::Name::Ip([10, 1, 2, 3].into()),
        ];
        assert_eq!(names, expected);
        authority.leaf("other.test", None).unwrap();
        assert_eq!(authority.leaves_minted(), 2, "another certificate, another leaf");
    }

    #[test]
    fn an_address_is_named_as_an_address() {
        let leaf = authority().leaf("127.0.0.1", None).unwrap();
        let names = der::alternative_names(&leaf.certified_key().cert[0]);
        assert_eq!(names, [der::Name::Ip([127, 0, 0, 1].into())]);
    }

    #[test]
    fn a_name_that_no_certificate_can_bear_is_an_error_each_time() {
        let authority = authority();
        for _ in 0..2 {
            let message = authority.leaf("é.test", None).unwrap_err().to_string();
            assert!(message.contains("é.test"), "{message}");
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let authority = authority();
        let cache = LeafCache::default();
        for number in 0..MAX_LEAVES + 10 {
            cache.slot(&Key { name: number.to_string().into(), like: None });
        }
        assert_eq!(cache.len(), MAX_LEAVES);
        drop(authority);
    }
}
