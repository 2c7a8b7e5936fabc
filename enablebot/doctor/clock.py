"""Clocks: Slack's signatures expire by them, and leases and sessions are measured by the database's."""

from collections.abc import Mapping

from enablebot.doctor.findings import Finding

# Beyond this every request of Slack is refused as too old.
_USELESS_SECONDS = 300
_ODD_SECONDS = 30
_REMEDY = "Let this machine take its time from the network (systemd-timesyncd, chrony, or your platform's setting)."


def compare_clocks(skews: Mapping[str, float]) -> list[Finding]:
    """A finding for every clock that ours differs from; `skews` are ours minus theirs in seconds, by whose they are."""
    odd = {whose: skew for whose, skew in skews.items() if abs(skew) > _ODD_SECONDS}
    findings = [
        Finding(
            "clock",
            "broken" if abs(skew) >= _USELESS_SECONDS else "warning",
            f"ours is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} that of {whose}",
            _REMEDY,
        )
        for whose, skew in odd.items()
    ]
    agreeing = sorted(set(skews) - set(odd))
    if agreeing:
        findings.append(Finding("clock", "fine", f"agrees with that of {', '.join(agreeing)}"))
    return findings
