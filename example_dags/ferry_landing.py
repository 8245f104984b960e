"""What a ferry line's ingestion would land: sailings, tickets and weather, made up from the date.

The same day always makes the same rows, whoever asks and however often. Ports, vessels, routes and fares
come from the seeds of the dbt project, so that the two agree.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias

Row: TypeAlias = dict[str, str]
Rows: TypeAlias = list[Row]

SEEDS = Path(__file__).parent / "project" / "seeds"

WIND_AT_THE_BERTH = {"sheltered": 0.8, "partly": 1.0, "open": 1.2}
TOO_MUCH_WIND_MS = 18.5
CHANNELS = {"app": 45, "web": 30, "kiosk": 15, "desk": 10}
SHARE_OF_BOOKINGS = {
    "ADULT": 46,
    "CHILD": 12,
    "COMMUTER": 14,
    "BICYCLE": 6,
    "CAR": 17,
    "CAMPER": 2,
    "LORRY": 3,
}
MOST_IN_ONE_BOOKING = {"ADULT": 4, "CHILD": 3, "BICYCLE": 2}


def land_week(landing: Path, last_day: date, landed_at: datetime) -> dict[str, int]:
    """Write the files of seven days, for the ticket office corrects late; return each table's rows."""
    rows = Counter[str]()
    for age in reversed(range(7)):
        rows.update(land_day(landing, last_day - timedelta(days=age), landed_at))
    return dict(rows)


def land_day(landing: Path, day: date, landed_at: datetime) -> dict[str, int]:
    """Write the files of one day, replacing any that are there; return each table's rows."""
    random = Random(day.isoformat())
    weather = list_weather(random, day)
    sailings = list_sailings(random, day, weather)
    tickets = list_tickets(random, sailings)
    tables = {"sailings": sailings, "tickets": tickets, "weather": weather}
    for table, rows in tables.items():
        _write(landing / table / f"{day}.csv", rows, landed_at)
    return {table: len(rows) for table, rows in tables.items()}


def list_weather(random: Random, day: date) -> Rows:
    """Every port's wind and waves, every three hours."""
    wind = min(max(random.gauss(9, 4), 1), 22)
    rows: Rows = []
    for hour in range(0, 24, 3):
        wind = min(max(wind + random.gauss(0, 1.5), 0.5), 26)
        for port in _seed("ports"):
            wind_ms = wind * WIND_AT_THE_BERTH[port["exposure"]] * random.uniform(0.95, 1.05)
            rows.append(
                {
                    "port_code": port["port_code"],
                    "observed_at": str(datetime.combine(day, time(hour))),
                    "wind_ms": f"{wind_ms:.1f}",
                    "wave_height_m": f"{0.012 * wind_ms**2:.1f}",
                }
            )
    return rows


def list_sailings(random: Random, day: date, weather: Rows) -> Rows:
    """Every departure of the timetable: too much wind cancels it, much makes it late."""
    wind_at = {(row["port_code"], row["observed_at"]): float(row["wind_ms"]) for row in weather}
    rows: Rows = []
    for route in _seed("routes"):
        first = datetime.combine(day, time.fromisoformat(route["first_departure"]))
        for number in range(int(route["sailings_per_day"])):
            scheduled = first + number * timedelta(minutes=int(route["headway_minutes"]))
            observed = datetime.combine(day, time(scheduled.hour // 3 * 3))
            wind_ms = wind_at[route["origin_port"], str(observed)]
            is_cancelled = wind_ms > TOO_MUCH_WIND_MS or random.random() < 0.004
            late = timedelta(minutes=round(max(0, random.gauss(3, 4)) + max(0, wind_ms - 11) * 2))
            crossing = timedelta(minutes=int(route["scheduled_minutes"]) + round(random.gauss(0, 1.5)))
            departure = scheduled + late
            rows.append(
                {
                    "sailing_id": f"{day:%Y%m%d}-{route['route_code']}-{number + 1}",
                    "route_code": route["route_code"],
                    "vessel_code": route["vessel_code"],
                    "scheduled_departure": str(scheduled),
                    "actual_departure": "" if is_cancelled else str(departure),
                    "actual_arrival": "" if is_cancelled else str(departure + crossing),
                    "status": "cancelled" if is_cancelled else "arrived",
                }
            )
    return rows


def list_tickets(random: Random, sailings: Rows) -> Rows:
    """Bookings for each sailing, while it has room; those for a cancelled one are refunded."""
    vessels = {vessel["vessel_code"]: vessel for vessel in _seed("vessels")}
    fares = {fare["fare_code"]: fare for fare in _seed("fares")}
    rows: Rows = []
    for sailing in sailings:
        departure = datetime.fromisoformat(sailing["scheduled_departure"])
        vessel = vessels[sailing["vessel_code"]]
        seats = round(int(vessel["passenger_capacity"]) * _demand(random, departure))
        lanes = int(vessel["lane_metres"])
        number = 0
        while seats > 0:
            (code,) = random.choices(list(SHARE_OF_BOOKINGS), list(SHARE_OF_BOOKINGS.values()))
            quantity = random.randint(1, MOST_IN_ONE_BOOKING.get(code, 1))
            fare = fares[code]
            if int(fare["lane_metres"]) > lanes:
                continue
            number += 1
            seats -= quantity * int(fare["seats"])
            lanes -= quantity * int(fare["lane_metres"])
            if seats < 0:
                break
            (channel,) = random.choices(list(CHANNELS), list(CHANNELS.values()))
            sold = departure - timedelta(minutes=round(random.expovariate(1 / 2000)) + 5)
            is_refunded = sailing["status"] == "cancelled" or random.random() < 0.02
            refunded = max(sold, departure - timedelta(minutes=30)) if is_refunded else ""
            rows.append(
                {
                    "ticket_id": f"{sailing['sailing_id']}-{number:03}",
                    "sailing_id": sailing["sailing_id"],
                    "fare_code": code,
                    "quantity": str(quantity),
                    "amount_eur": f"{quantity * float(fare['price_eur']):.2f}",
                    "channel": channel,
                    "sold_at": str(sold),
                    "refunded_at": str(refunded),
                }
            )
    return rows


def _demand(random: Random, departure: datetime) -> float:
    """Return the share of the seats that people want: more by day, and towards the weekend."""
    by_day = 0.42 if 7 <= departure.hour <= 18 else 0.2
    towards_weekend = 1.4 if departure.weekday() >= 4 else 1.0
    return min(1.0, max(0.03, by_day * towards_weekend * random.uniform(0.6, 1.3)))


def _seed(name: str) -> Rows:
    with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Rows, landed_at: datetime) -> None:
    """Write under a name that no reader looks for, then rename: a reader sees all of a file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    stamp = landed_at.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "landed_at"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "landed_at": str(stamp)} for row in rows)
    part.replace(path)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the folder's name is empty; is DBT_LANDING set?")
    return Path(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Land a week of files, up to yesterday.")
    parser.add_argument("landing", type=_folder, metavar="FOLDER", help="where, for example $DBT_LANDING")
    folder, now = parser.parse_args().landing, datetime.now(UTC)
    landed = land_week(folder, now.date() - timedelta(days=1), now)
    print(f"Landed a week in {folder}:", ", ".join(f"{rows} {table}" for table, rows in landed.items()))
