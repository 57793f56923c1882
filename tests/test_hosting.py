"""Is the table of clouds and platforms well formed, and is each known by its marks, and nobody else?"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from portmail import hosting
from portmail.hosting import Hosting, hosted_at, lines

AZURE = "7783-7084-3265-9085-8269-3286-77"

MACHINES = (
    ("gce", {"sys_vendor": "Google", "product_name": "Google Compute Engine", "bios_vendor": "Google"}),
    ("ec2", {"sys_vendor": "Amazon EC2", "product_name": "t3.micro", "bios_vendor": "Amazon EC2"}),
    ("ec2", {"sys_vendor": "Xen", "product_name": "HVM domU", "bios_version": "4.2.amazon"}),
    (
        "azure",
        {
            "sys_vendor": "Microsoft Corporation",
            "product_name": "Virtual Machine",
            "chassis_asset_tag": AZURE,
        },
    ),
    ("digitalocean", {"sys_vendor": "DigitalOcean", "product_name": "Droplet"}),
    ("hetzner", {"sys_vendor": "Hetzner", "product_name": "vServer"}),
    ("linode", {"sys_vendor": "Linode", "product_name": "Compute Instance"}),
    ("linode", {"sys_vendor": "Akamai", "product_name": "Compute Instance"}),
    ("vultr", {"sys_vendor": "Vultr", "product_name": "VC2"}),
    ("oracle", {"sys_vendor": "QEMU", "chassis_asset_tag": "OracleCloud.com"}),
    ("upcloud", {"sys_vendor": "UpCloud", "product_name": "Server"}),
    ("scaleway", {"sys_vendor": "Scaleway", "product_name": "SCW-DEV1-S"}),
    ("alibaba", {"sys_vendor": "Alibaba Cloud", "product_name": "Alibaba Cloud ECS"}),
)
"""What the firmware says on a machine there."""

PLATFORMS = (
    ("render", {"RENDER": "true", "RENDER_SERVICE_ID": "srv-1"}),
    ("railway", {"RAILWAY_ENVIRONMENT": "production"}),
    ("railway", {"RAILWAY_ENVIRONMENT_NAME": "production", "RAILWAY_PROJECT_ID": "1"}),
    ("vercel", {"VERCEL": "1"}),
    ("upsun", {"PLATFORM_PROJECT": "abc", "PLATFORM_APPLICATION_NAME": "app"}),
    ("azure-app-service", {"WEBSITE_SITE_NAME": "shop"}),
)
"""What a program finds in its environment there."""

ELSEWHERE: tuple[dict[str, str], ...] = (
    {},
    {"sys_vendor": "QEMU", "product_name": "Standard PC (Q35 + ICH9, 2009)", "bios_vendor": "SeaBIOS"},
    {"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine", "chassis_asset_tag": "0"},
    {"sys_vendor": "Google", "product_name": "Eve", "bios_vendor": "coreboot"},
    {"sys_vendor": "LENOVO", "product_name": "20W00126MX", "chassis_asset_tag": "No Asset Information"},
    {"sys_vendor": "Not Hetzner", "product_name": "DigitalOcean", "bios_version": "amazon.2"},
)
"""What the firmware says on machines of which nothing is known, such as a laptop's or a Hyper-V's."""

PLACE = re.compile(r"https://\S+")


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in place of the kernel's; what was read of it is forgotten before and after."""
    monkeypatch.setattr(hosting, "FIRMWARE", tmp_path)
    hosting.firmware.cache_clear()
    yield tmp_path
    hosting.firmware.cache_clear()


def known(found: Hosting | None) -> str | None:
    return found and found.id


def test_every_line_has_an_id_of_its_own_and_a_name() -> None:
    names = [line.hosting.id for line in lines()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert all(line.hosting.name == line.hosting.name.strip() != "" for line in lines())


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.hosting.id)
def test_every_line_says_since_when_and_where_it_is_written(line: hosting.Line) -> None:
    assert dt.date(2010, 1, 1) < dt.date.fromisoformat(line.hosting.as_of) <= dt.date.today()
    assert [part for part in line.hosting.source.split(" ; ") if not PLACE.fullmatch(part)] == []


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.hosting.id)
def test_every_sentence_names_the_cloud_and_can_be_looked_up(line: hosting.Line) -> None:
    words = line.hosting.words
    assert words.endswith(".")
    assert len(words) < 220
    assert words.isascii()
    assert not set(words) & set("{}%\\")
    assert any(part.strip("()") in words for part in line.hosting.name.split(" / "))


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.hosting.id)
def test_every_line_has_marks_of_one_kind_and_blocks_ports_of_mail(line: hosting.Line) -> None:
    assert bool(line.dmi) != bool(line.environ)
    assert all(re.fullmatch(r"[a-z_]+", field) and re.compile(wanted) for field, wanted in line.dmi)
    assert not any(re.fullmatch(wanted, "") for _, wanted in line.dmi)
    assert all(re.fullmatch(r"[A-Z][A-Z_]+", name) for name in line.environ)
    assert 25 in line.hosting.blocks
    assert line.hosting.blocks <= {25, 465, 587}


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.hosting.id)
def test_every_blocked_port_is_named_where_it_is_said_what_is_blocked(line: hosting.Line) -> None:
    named = {int(port) for port in re.findall(r"\b(?:25|465|587)\b", line.hosting.words)}
    assert line.hosting.blocks <= named or "SMTP" in line.hosting.words


@pytest.mark.parametrize(("name", "dmi"), MACHINES)
def test_a_cloud_is_known_by_its_firmware(name: str, dmi: dict[str, str]) -> None:
    assert known(hosted_at(environ={}, dmi=dmi)) == name
    fitting = {
        line.hosting.id
        for line in lines()
        if any(re.fullmatch(wanted, dmi.get(field, "")) for field, wanted in line.dmi)
    }
    assert fitting == {name}


@pytest.mark.parametrize(("name", "environ"), PLATFORMS)
def test_a_platform_is_known_by_its_variables(name: str, environ: dict[str, str]) -> None:
    assert known(hosted_at(environ=environ, dmi={})) == name


def test_every_line_is_reached() -> None:
    assert {line.hosting.id for line in lines()} == {name for name, _ in (*MACHINES, *PLATFORMS)}


@pytest.mark.parametrize("dmi", ELSEWHERE)
def test_of_other_machines_nothing_is_said(dmi: dict[str, str]) -> None:
    assert hosted_at(environ={"PATH": "/bin", "HOME": "/root"}, dmi=dmi) is None


def test_a_platform_goes_before_the_cloud_below_it() -> None:
    below = {"sys_vendor": "Amazon EC2"}
    assert known(hosted_at(environ={"RENDER": "true"}, dmi=below)) == "render"
    assert known(hosted_at(environ={}, dmi=below)) == "ec2"


def test_an_empty_variable_is_no_mark() -> None:
    assert hosted_at(environ={"RENDER": "", "VERCEL": ""}, dmi={}) is None


def test_what_a_cloud_blocks_is_told_as_ports() -> None:
    found = hosted_at(environ={}, dmi={"sys_vendor": "Hetzner"})
    assert found is not None
    assert found.blocks == {25, 465}
    assert "587 is open" in found.words


def test_the_firmware_of_this_machine_is_read(firmware: Path) -> None:
    (firmware / "sys_vendor").write_text("Hetzner\n")
    (firmware / "product_name").write_text("vServer\n")
    assert known(hosted_at(environ={})) == "hetzner"


def test_it_is_read_once(firmware: Path) -> None:
    (firmware / "sys_vendor").write_text("Hetzner\n")
    hosted_at(environ={})
    (firmware / "sys_vendor").write_text("Vultr\n")
    assert known(hosted_at(environ={})) == "hetzner"


def test_a_machine_without_firmware_to_ask_is_no_trouble(firmware: Path) -> None:
    firmware.rmdir()
    assert hosted_at(environ={}) is None


def test_a_field_that_cannot_be_read_or_is_no_text_is_no_trouble(firmware: Path) -> None:
    (firmware / "sys_vendor").mkdir()
    (firmware / "product_name").write_bytes(b"\xff\xfe\n")
    (firmware / "chassis_asset_tag").write_text(f"{AZURE}\n")
    assert known(hosted_at(environ={})) == "azure"


def test_the_firmware_is_not_asked_where_the_variables_tell(firmware: Path) -> None:
    hosted_at(environ={"VERCEL": "1"})
    assert hosting.firmware.cache_info().misses == 0


def test_without_the_table_nothing_is_known(firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "TABLE", "left-out.csv")
    hosting._cloud.cache_clear()
    lines.cache_clear()
    assert hosted_at(environ={"VERCEL": "1"}, dmi={"sys_vendor": "Hetzner"}) is None
    assert firmware.is_dir()
    hosting._cloud.cache_clear()
    lines.cache_clear()


def test_a_machine_is_recognised_once_and_each_environment_counts(firmware: Path) -> None:
    (firmware / "sys_vendor").write_text("Hetzner\n")
    hosting._cloud.cache_clear()
    answers = [known(hosted_at(environ=environ)) for environ in ({}, {"VERCEL": "1"}, {"RENDER": ""}, {})]
    assert answers == ["hetzner", "vercel", "hetzner", "hetzner"]
    assert hosting._cloud.cache_info().misses == 1
