"""destination-wicked-reports as a process, against the simulator's Wicked."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from integration_tests.support.processes import BIN, catalog

NAME = "destination-wicked-reports"


@pytest.fixture
def config(simulator, tmp_path):
    def make(**extra):
        return {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            "rejected_records_path": str(tmp_path / "rejected.jsonl"),
            **extra,
        }

    return make


def order(number: int, **extra):
    fields = {
        "SourceSystem": "shop",
        "SourceID": str(number),
        "CreateDate": "2026-03-01T10:00:00Z",
        "ContactEmail": f"buyer{number}@example.com",
        "OrderTotal": "19.90",
        "OrderCurrency": "EUR",
        **extra,
    }
    return record("orders", fields)


def record(stream: str, fields: dict):
    return {"type": "RECORD", "record": {"stream": stream, "emitted_at": 1767225600000, "data": fields}}


def payment(number: int, **extra):
    fields = {
        "SourceSystem": "shop",
        "OrderID": str(number),
        "PaymentDate": "2026-03-01 10:00:00",
        "Amount": 19.9,
        "Status": "APPROVED",
        **extra,
    }
    return record("order_payments", fields)


def state(at: int, stream: str = "orders"):
    return {
        "type": "STATE",
        "state": {
            "type": "STREAM",
            "id": at,
            "stream": {"stream_descriptor": {"name": stream}, "stream_state": {"at": at}},
            "sourceStats": {"recordCount": 1.0},
        },
    }


# -- spec and check ---------------------------------------------------------------------------------------------------


def test_spec_is_one_message(workspace):
    result = workspace.run(NAME, "spec")
    assert result.code == 0
    (spec,) = result.of("SPEC")
    assert spec["supported_destination_sync_modes"] == ["append", "append_dedup"]
    assert spec["connectionSpecification"]["properties"]["api_key"]["airbyte_secret"] is True


def check(workspace, config):
    result = workspace.run(NAME, "check", config=config)
    assert result.code == 0
    (status,) = result.of("CONNECTION_STATUS")
    return status["status"], status["message"]


def test_check_reads_and_writes_nothing(workspace, simulator, config, tmp_path):
    status, message = check(workspace, config())
    assert (status, "accepted the API key" in message) == ("SUCCEEDED", True)
    assert [(entry["method"], entry["path"]) for entry in simulator.requests()] == [("GET", "/latest")]
    assert not (tmp_path / "rejected.jsonl").exists()


@pytest.mark.parametrize("switch", ["forbidden_403", "unauthorized_401"])
def test_check_names_a_refused_key(workspace, simulator, config, switch):
    simulator.switch("wicked.key_refused", switch)
    status, message = check(workspace, config(api_key="wrong-key-123"))
    assert status == "FAILED"
    assert "refused the API key" in message
    assert "Authorizations" in message


def test_check_claims_no_more_than_an_unexpected_response_proves(workspace, simulator, config):
    simulator.fault("status_404", "/latest")
    status, message = check(workspace, config())
    assert status == "SUCCEEDED"
    assert "answered 404" in message


def test_check_names_an_unreachable_host(workspace, config):
    status, message = check(workspace, config(api_url="http://127.0.0.1:1"))
    assert status == "FAILED"
    assert "cannot be reached" in message


def test_check_accepts_a_key_without_the_outbound_plan(workspace, simulator, config):
    body = '{"status":"error","message":"Outbound API not enabled for client."}'
    simulator.fault("status_401", "/latest", body=body)
    assert check(workspace, config())[0] == "SUCCEEDED"


def test_check_names_a_ledger_that_another_account_filled(workspace, simulator, config):
    simulator.key("wicked", "another-account")
    assert write(workspace, config(), [order(1)]).code == 0
    status, message = check(workspace, config(api_key="another-account"))
    assert (status, "another API key" in message) == ("FAILED", True)


def test_check_fails_while_the_server_fails(workspace, simulator, config):
    simulator.fault("status_503", "/latest")
    status, message = check(workspace, config())
    assert status == "FAILED"
    assert "Try again later" in message


def test_check_tries_the_ledger_and_the_dead_letter_file(workspace, config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, message = check(workspace, config(ledger={"type": "sqlite", "path": str(tmp_path / "file" / "x.sqlite")}))
    assert (status, "ledger" in message) == ("FAILED", True)
    status, message = check(workspace, config(rejected_records_path=str(tmp_path)))
    assert (status, "rejected_records_path" in message) == ("FAILED", True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"api_url": "http://api.wickedreports.com"}, "https"),
        ({"batch_rows": 1001}, "batch_rows"),
        ({"mapping": {"type": "wecantrack", "contact_rules": [{"field": "sub_ids.*", "pattern": "(("}]}}, "regular"),
        ({"mapping": {"type": "wecantrack", "contact_rules": [{"field": "x", "pattern": "a"}]}}, "named group"),
        ({"mapping": {"type": "unheard-of"}}, "mapping"),
        ({"api_key": ""}, "api_key"),
    ],
)
def test_check_says_what_is_wrong_with_a_configuration(workspace, config, fault, words):
    status, message = check(workspace, config(**fault))
    assert status == "FAILED"
    assert words in message


# -- write ------------------------------------------------------------------------------------------------------------


def write(workspace, config, messages, streams=("orders",), **options):
    return workspace.run(NAME, "write", config=config, catalog=catalog(*streams, **options), stdin=messages)


def test_rows_arrive_and_the_state_is_released(workspace, simulator, config):
    result = write(workspace, config(), [order(1), order(2), state(7)])
    assert result.code == 0
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["1", "2"]
    (returned,) = result.states
    assert returned["id"] == 7
    assert returned["destinationStats"] == {"recordCount": 2.0, "rejectedRecordCount": 0.0}
    assert "orders: 2 sent, 0 unchanged, 0 changed, 0 rejected, 0 in doubt" in result.logs


def test_all_seven_endpoints_accept_what_the_field_tables_allow(workspace, simulator, config):
    utms = {"Source": "s", "Medium": "m", "Campaign": "c", "Content": "n", "Term": "t"}
    shop = {"SourceSystem": "shop"}
    rows = {
        "products": {**shop, "SourceID": 5, "ProductName": "Mug", "ProductPrice": "7.50"},
        "contacts": {**shop, "SourceID": "c1", "CreateDate": "2026-01-01T00:00:00+02:00", "Email": "c1@example.com"},
        "orders": order(1)["record"]["data"],
        "order_items": {**shop, "OrderID": "1", "SourceID": "1-1", "ProductID": 5, "Qty": 2.0, "PPU": 7.5},
        "order_payments": payment(1)["record"]["data"],
        "clicks": {
            "Email": "c1@example.com",
            "Date_Time": "2026-01-01 10:00:00",
            "Timezone": "UTC-5",
            "ConversionType": "NEW_LEAD",
            "TimeOffset": -2,
            **utms,
        },
        "marketing": {
            "Date_Time": "2026-01-01T00:00:00Z",
            "Clicks": 3,
            "Cost": 1.25,
            "AdId": 9,
            "AccountId": "a",
            **utms,
        },
    }
    messages = [record(stream, fields) for stream, fields in reversed(rows.items())]
    result = write(workspace, config(), messages, streams=tuple(rows))
    assert result.code == 0, result.said
    paths = [entry["path"] for entry in simulator.requests()]
    assert paths == ["/products", "/contacts", "/orders", "/orderitems", "/orderpayments", "/clicks", "/marketing"]
    assert {entry["status"] for entry in simulator.requests()} == {200}
    assert simulator.wicked_rows("contacts")[0]["CreateDate"] == "2025-12-31 22:00:00"
    assert simulator.wicked_rows("products")[0]["SourceID"] == "5"


def test_a_second_run_sends_nothing_again(workspace, simulator, config):
    messages = [order(1), payment(1), state(1)]
    for _ in range(2):
        result = write(workspace, config(), messages, streams=("orders", "order_payments"))
        assert result.code == 0
    assert len(simulator.wicked_rows("orders")) == 1
    assert len(simulator.wicked_rows("orderpayments")) == 1
    assert simulator.stats()["requests"]["by_path"] == {"POST /orders": 1, "POST /orderpayments": 1}


def test_undocumented_fields_are_named_and_not_sent(workspace, simulator, config):
    result = write(workspace, config(), [order(1, Colour="red", _airbyte_raw_id="x")])
    assert result.code == 0
    assert "orders: fields unknown to Wicked Reports were not sent: Colour" in result.logs
    assert "Colour" not in simulator.requests("/orders", rows=True)[0]["rows"][0]


def test_test_mode_fills_the_test_store_and_is_recorded_separately(workspace, simulator, config):
    assert write(workspace, config(test_mode=True), [order(1)]).code == 0
    assert simulator.wicked_rows("orders") == []
    assert len(simulator.wicked_rows("orders", test=True)) == 1
    assert write(workspace, config(), [order(1)]).code == 0
    assert len(simulator.wicked_rows("orders")) == 1


def dead_letters(tmp_path):
    path = tmp_path / "rejected.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_bad_row_goes_to_the_dead_letter_file_and_the_run_fails_after_everything_good(
    workspace, simulator, config, tmp_path
):
    result = write(workspace, config(), [order(1), order(2, OrderTotal="twelve"), order(3), state(1)])
    assert result.code != 0
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["1", "3"]
    assert len(result.states) == 1
    (line,) = dead_letters(tmp_path)
    assert set(line) >= {"reason", "field", "endpoint", "stream", "row"}
    assert (line["field"], line["endpoint"], line["stream"]) == ("OrderTotal", "orders", "orders")
    assert line["row"]["SourceID"] == "2"
    assert "twelve" not in result.said
    assert str(tmp_path / "rejected.jsonl") in result.errors[-1]["message"]
    assert (tmp_path / "rejected.jsonl").stat().st_mode & 0o077 == 0


def test_skip_lets_the_run_succeed(workspace, config, tmp_path):
    result = write(workspace, config(on_rejected_record="skip"), [order(1, OrderTotal=None), state(1)])
    assert result.code == 0
    assert len(dead_letters(tmp_path)) == 1


@pytest.mark.parametrize("way", ["row_errors", "whole_request"])
@pytest.mark.parametrize("reply", ["full", "success_only"])
def test_a_row_that_only_wicked_refuses_is_rejected_alone(workspace, simulator, config, tmp_path, way, reply):
    simulator.switch("wicked.bad_row", way)
    simulator.switch("wicked.success_reply", reply)
    simulator.switch("wicked.unknown_contact", "reject")
    contact = record(
        "contacts",
        {"SourceSystem": "shop", "SourceID": "1", "CreateDate": "2026-01-01 00:00:00", "Email": "buyer1@example.com"},
    )
    result = write(workspace, config(), [contact, order(1), order(2), state(1)], streams=("contacts", "orders"))
    assert result.code != 0
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["1"]
    assert [line["row"]["SourceID"] for line in dead_letters(tmp_path)] == ["2"]
    assert len(result.states) == 1


@pytest.mark.parametrize("fault", ["status_503", "status_500", "throttled", "throttled_bare", "close_before_answer"])
def test_a_transient_fault_has_no_effect_on_rows_with_an_id(workspace, simulator, config, fault):
    simulator.fault(fault, "/orders", seconds=1)
    result = write(workspace, config(), [order(1), state(1)])
    assert result.code == 0, result.said
    assert len(simulator.wicked_rows("orders")) == 1
    assert any("Retrying in" in line for line in result.logs)


def test_a_lost_response_doubles_no_order(workspace, simulator, config):
    simulator.fault("store_then_close", "/orders")
    assert write(workspace, config(), [order(1), state(1)]).code == 0
    assert len(simulator.wicked_rows("orders")) == 1


def test_after_a_lost_response_payments_are_in_doubt_and_none_is_doubled(workspace, simulator, config, tmp_path):
    simulator.fault("store_then_close", "/orderpayments")
    streams = ("orders", "order_payments")
    result = write(workspace, config(), [order(1), payment(1), state(1)], streams=streams)
    assert result.code != 0
    assert len(result.states) == 1
    assert [line["outcome"] for line in dead_letters(tmp_path)] == ["in_doubt"]
    assert write(workspace, config(), [order(1), payment(1), state(1)], streams=streams).code == 0
    assert len(simulator.wicked_rows("orderpayments")) == 1


@pytest.mark.parametrize("kind", ["html_200", "empty_200", "null_200", "list_200", "object_200"])
def test_a_2xx_without_a_receipt_does_not_count_as_accepted(workspace, simulator, config, kind):
    simulator.fault(kind, "/orders")
    assert write(workspace, config(), [order(1), state(1)]).code == 0
    assert len(simulator.wicked_rows("orders")) == 1


def test_a_refused_key_ends_the_run_as_a_config_error_and_no_state_is_released(workspace, config):
    result = write(workspace, config(api_key="wrong-key-123"), [order(1), state(1)])
    assert result.code != 0
    assert result.states == []
    assert result.errors[-1]["failure_type"] == "config_error"
    assert "wrong-key-123" not in result.said


def test_after_the_key_is_fixed_the_rows_arrive(workspace, simulator, config):
    write(workspace, config(api_key="wrong-key-123"), [order(1), state(1)])
    result = write(workspace, config(), [order(1), state(1)])
    assert result.code == 0
    assert len(simulator.wicked_rows("orders")) == 1


def test_the_ledger_of_another_account_is_refused_before_anything_is_sent(workspace, simulator, config):
    simulator.key("wicked", "another-account")
    assert write(workspace, config(), [order(1)]).code == 0
    result = write(workspace, config(api_key="another-account"), [order(2), state(1)])
    assert result.errors[-1]["failure_type"] == "config_error"
    assert "another API key" in result.errors[-1]["message"]
    assert len(simulator.wicked_rows("orders")) == 1
    result = write(workspace, config(api_key="another-account", new_api_key=True), [order(1), order(2), state(1)])
    assert result.code == 0
    assert simulator.stats()["requests"]["by_path"]["POST /orders"] == 2
    assert len(simulator.wicked_rows("orders")) == 2


def test_a_ledger_filled_by_one_measure_of_revenue_is_not_used_with_another(workspace, simulator, config):
    def mapping(basis):
        return {"type": "wecantrack", "revenue_basis": basis, "without_contact": "synthetic"}

    sale = {
        "transaction_id": "T1",
        "user_network_account_id": 7,
        "commission_amount": "1.00",
        "sale_amount": "99.00",
        "currency_id": "EUR",
        "status": "approved",
        "order_date": "2026-03-01 10:00:00",
        "last_wct_update": "2026-03-01 10:00:00",
    }
    for basis, code in (("commission", 0), ("sale_amount", 1), ("commission", 0)):
        chosen = config(mapping=mapping(basis))
        result = write(workspace, chosen, [record("transactions", sale)], streams=("transactions",))
        assert result.code == code
    assert len(simulator.wicked_rows("orderpayments")) == 1
    assert len(simulator.wicked_rows("orders")) == 1


def test_the_same_history_written_again_sends_nothing_again(workspace, simulator, config):
    """A captured file, or a runtime that buffers, replays earlier states of a transaction after later ones."""
    life = [("pending", "10.00", "02"), ("approved", "9.00", "03"), ("declined", "9.00", "04")]
    sales = [
        {
            "transaction_id": "T1",
            "user_network_account_id": 7,
            "commission_amount": amount,
            "currency_id": "EUR",
            "status": status,
            "order_date": "2026-03-01 10:00:00",
            "last_wct_update": f"2026-03-{day} 10:00:00",
        }
        for status, amount, day in life
    ]
    chosen = config(mapping={"type": "wecantrack", "without_contact": "synthetic"})
    messages = [record("transactions", sale) for sale in sales]
    for _ in range(3):
        assert write(workspace, chosen, messages, streams=("transactions",)).code == 0
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["wct-7-T1"]
    payments = [(row["Status"], float(row["Amount"])) for row in simulator.wicked_rows("orderpayments")]
    assert payments == [("APPROVED", 10.0), ("PARTIALLY REFUNDED", 1.0), ("REFUNDED", 9.0)]


def test_an_invalid_dead_letter_path_is_reported_before_anything_is_sent(workspace, simulator, config, tmp_path):
    result = write(workspace, config(rejected_records_path=str(tmp_path)), [order(1)])
    assert "rejected_records_path" in result.errors[-1]["message"]
    assert simulator.requests() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"destination_mode": "overwrite"}, "neither replace nor delete"),
        ({"destination_mode": "update"}, "neither replace nor delete"),
        ({"destination_mode": "soft_delete"}, "neither replace nor delete"),
    ],
)
def test_an_unsupported_sync_mode_is_refused_at_start(workspace, simulator, config, options, words):
    result = write(workspace, config(), [order(1)], **options)
    assert result.code != 0
    assert words in result.errors[-1]["message"]
    assert result.errors[-1]["failure_type"] == "config_error"
    assert simulator.requests() == []


def test_a_truncating_refresh_is_refused_and_pyairbytes_constant_is_not(workspace, config):
    asked = catalog("orders")
    asked["streams"][0] |= {"generation_id": 2, "minimum_generation_id": 2, "sync_id": 5}
    result = workspace.run(NAME, "write", config=config(), catalog=asked, stdin=[order(1)])
    assert "refresh" in result.errors[-1]["message"]
    asked["streams"][0] |= {"generation_id": 1, "minimum_generation_id": 1, "sync_id": 1}
    assert workspace.run(NAME, "write", config=config(), catalog=asked, stdin=[order(1)]).code == 0


def test_an_unmapped_stream_is_refused_at_start(workspace, config):
    result = write(workspace, config(), [], streams=("orders", "invoices"))
    assert "invoices" in result.errors[-1]["message"]
    assert result.errors[-1]["failure_type"] == "config_error"


def test_without_a_ledger_the_user_is_warned(workspace, config):
    result = write(workspace, config(ledger={"type": "none"}), [order(1)])
    assert result.code == 0
    assert any("nothing is remembered" in line for line in result.logs)


def test_a_missing_configuration_file_is_named(workspace, tmp_path):
    result = workspace.run(NAME, "check", config=tmp_path / "nowhere.json")
    assert result.code != 0
    assert "nowhere.json" in result.errors[-1]["message"]


def test_sigterm_acknowledges_what_was_accepted_and_exits_143(workspace, simulator, config):
    command = workspace.command(NAME, "write", config=config(batch_rows=1), catalog=catalog("orders"))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for message in (order(1), state(1)):
        process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if b'"STATE"' in line:
            break
    process.stdin.write(json.dumps(order(2)).encode() + b"\n")
    process.stdin.flush()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    result = workspace.keep(process.returncode, b"".join(lines) + stdout, stderr)
    assert result.code == 143
    assert [state["id"] for state in result.states] == [1]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", [">&-", ">/dev/full"])
def test_an_output_that_cannot_be_written_is_reported_in_one_sentence(closed):
    done = subprocess.run(
        ["sh", "-c", f"{BIN}/destination-wicked-reports spec {closed}"], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Standard output cannot be written (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"1e999", b'"\\ud83d"', b'"caf\xe9"', b"9" * 5000],
    ids=["nan", "too large", "lone surrogate", "latin 1", "5,000 digits"],
)
def test_a_value_that_json_does_not_allow_costs_its_record_only(workspace, simulator, config, tmp_path, value):
    messages = [order(1), order(2, City="here"), order(3), state(3)]
    lines = b"\n".join(json.dumps(message).encode() for message in messages).replace(b'"here"', value)
    result = write(workspace, config(), b"\xef\xbb\xbf" + lines)
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["1", "3"]
    assert [each["stream"]["stream_state"] for each in result.of("STATE")] == [{"at": 3}]
    (line,) = (tmp_path / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"].startswith("the record contains ")
    assert json.loads(line)["row"]["SourceID"] == "2"
    assert "1 row was rejected" in result.errors[-1]["message"]


def test_a_line_that_is_too_long_costs_its_record_only(workspace, simulator, config):
    messages = [order(1), order(2, City="x" * (65 << 20)), order(3), state(3)]
    result = write(workspace, config(on_rejected_record="skip"), messages)
    assert result.code == 0
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["1", "3"]
    assert len(result.of("STATE")) == 1


def test_deleted_records_are_left_out_with_a_warning_and_bad_optional_fields_are_named(workspace, simulator, config):
    messages = [
        order(1, City="x" * 256),
        order(2, _ab_cdc_deleted_at="2026-06-01T00:00:00Z"),
        record("orders", {"id": 3, "_ab_cdc_deleted_at": "2026-06-01T00:00:00Z"}),
        state(3),
    ]
    result = write(workspace, config(), messages)
    assert result.code == 0
    assert [row["SourceID"] for row in simulator.wicked_rows("orders")] == ["1"]
    assert "City" not in simulator.wicked_rows("orders")[0]
    logs = [(log["level"], log["message"]) for log in result.of("LOG")]
    assert ("WARN", "orders: 2 records are marked as deleted and left out: Wicked Reports cannot delete.") in logs
    assert ("INFO", "orders.City: left out of 1 row: longer than 255 characters") in logs
    assert len(result.of("STATE")) == 1


def test_open_dead_letters_are_reported_by_every_run_until_they_are_dismissed(workspace, config, tmp_path):
    def reported() -> list[str]:
        logs = write(workspace, settings, []).of("LOG")
        return [log["message"] for log in logs if log["message"].startswith("Open: ")]

    settings = config(on_rejected_record="skip")
    assert reported() == []
    write(workspace, settings, [order(1, OrderTotal="-1")])
    (said,) = reported()
    assert said.startswith("Open: 1 dead letter is in ")
    assert reported() == [said]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    command = [str(BIN / NAME), "replay", "--config", str(path), "--rejects", settings["rejected_records_path"]]
    done = subprocess.run([*command, "--dismiss"], capture_output=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [b"1 dead letters were dismissed; nothing was sent."])
    assert reported() == []
