//! What the simulator reads from nodes.conf, by a parser of its own.

use hexad_gossip::NodeId;
use hexad_slots::{SlotBitmap, SlotRange};

/// The part of a nodes.conf that the checks are about.
#[derive(Clone, Debug)]
pub(crate) struct Conf {
    /// The `myself` line's id.
    pub me: NodeId,
    /// Whether that line says `master`.
    pub is_primary: bool,
    /// That line's configEpoch.
    pub config_epoch: u64,
    /// That line's slots.
    pub slots: Box<SlotBitmap>,
    /// The greatest configEpoch of any line.
    pub max_config_epoch: u64,
    /// Of the `vars` line.
    pub current_epoch: u64,
    /// Of the `vars` line.
    pub last_vote_epoch: u64,
}

impl Conf {
    /// Reads a whole file, or says what is wrong with it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let body = text.strip_suffix('\n').ok_or("the last line has no end")?;
        let (nodes, vars) = body.rsplit_once('\n').ok_or("fewer than two lines")?;
        let (current_epoch, last_vote_epoch) = vars_line(vars)?;
        let mut me = None;
        let mut max_config_epoch = 0;
        for line in nodes.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [
                id,
                _address,
                flags,
                _primary,
                _ping,
                _pong,
                epoch,
                _link,
                slots @ ..,
            ] = &words[..]
            else {
                return Err(format!("too few words: {line}"));
            };
            let epoch: u64 = epoch
                .parse()
                .map_err(|_| format!("no configEpoch: {line}"))?;
            max_config_epoch = max_config_epoch.max(epoch);
            let mut flags = flags.split(',');
            if flags.clone().any(|flag| flag == "myself") {
                let id: NodeId = id.parse().map_err(|_| format!("no id: {line}"))?;
                let mine = (
                    id,
                    flags.any(|flag| flag == "master"),
                    epoch,
                    slots_of(slots)?,
                );
                if me.replace(mine).is_some() {
                    return Err("two lines are `myself`".to_owned());
                }
            }
        }
        let (me, is_primary, config_epoch, slots) = me.ok_or("no line is `myself`")?;
        Ok(Conf {
            me,
            is_primary,
            config_epoch,
            slots,
            max_config_epoch,
            current_epoch,
            last_vote_epoch,
        })
    }
}

fn vars_line(line: &str) -> Result<(u64, u64), String> {
    let words: Vec<&str> = line.split(' ').collect();
    let numbers = match words[..] {
        ["vars", "currentEpoch", current, "lastVoteEpoch", vote] => {
            current.parse().ok().zip(vote.parse().ok())
        }
        _ => None,
    };
    numbers.ok_or_else(|| format!("the last line is not the vars line: {line}"))
}

fn slots_of(words: &[&str]) -> Result<Box<SlotBitmap>, String> {
    let mut slots = Box::new(SlotBitmap::new());
    for word in words.iter().filter(|word| !word.starts_with('[')) {
        let range: SlotRange = word
            .parse()
            .map_err(|_| format!("not a slot range: {word}"))?;
        slots.set_range(range);
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_file_is_read() {
        let text = format!(
            "{ME} 10.0.0.1:7000@17000 myself,master - 0 0 3 connected 0-5 9 [5->-{OTHER}]\n\
             {OTHER} 10.0.0.2:7000@17000 master - 0 1 4 connected 10\n\
             vars currentEpoch 4 lastVoteEpoch 2\n"
        );
        let conf = Conf::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (conf.me.as_str(), conf.is_primary, conf.config_epoch),
            (ME, true, 3)
        );
        assert_eq!(
            (
                conf.max_config_epoch,
                conf.current_epoch,
                conf.last_vote_epoch
            ),
            (4, 4, 2)
        );
        assert_eq!(conf.slots.count(), 7);
    }

    #[test]
    fn a_torn_file_is_told() {
        let text = format!("{ME} :7000@17000 myself,master - 0 0 3 connected 0-5 9\n");
        assert!(Conf::parse(text.as_bytes()).is_err());
        let text = text + "vars currentEpoch 4 lastVoteEpoch 0\n";
        assert!(Conf::parse(text.as_bytes()).is_ok());
        for end in 0..text.len() {
            assert!(
                Conf::parse(&text.as_bytes()[..end]).is_err(),
                "cut at {end}"
            );
        }
    }
}
