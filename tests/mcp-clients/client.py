"""What the Python SDK does with a server: list, call, read, follow; and on, when the node that it reaches is killed.

Arguments: the endpoint, the mode ("legacy" or a version), and the address of a node that lives, to change things there.
It prints "kill" when a node may die and goes on when a line comes; at the end it prints "done".
"""

import asyncio
import json
import sys
import urllib.request

from mcp import Client


def increment(node: str, name: str) -> None:
    url = f"{node}/v1/objects/counter/{name}/methods/increment"
    request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=20).read()


async def works(client: Client) -> None:
    names = [tool.name for tool in (await client.list_tools()).tools]
    assert {"create_change_request", "object_get"} <= set(names), names
    # The SDK holds a result against the tool's outputSchema.
    made = await client.call_tool(
        "create_change_request", {"title": "Update docs", "description": "A page", "requestor": "erin"}
    )
    assert not made.is_error, made
    assert made.structured_content["status"] == "submitted", made
    refused = await client.call_tool("get_change_status", {"changeId": "CHG-20260101-ABCDEF"})
    assert refused.is_error, refused
    assert json.loads(refused.content[0].text)["error"] == "Change CHG-20260101-ABCDEF not found", refused
    await client.call_tool("counter_increment", {"name": "python"})
    read = await client.read_resource("stead://counter/python")
    assert json.loads(read.contents[0].text)["value"] >= 1, read
    assert len((await client.list_prompts()).prompts) == 3


async def main(url: str, mode: str, node: str) -> None:
    told = asyncio.Queue()

    async def heard(message) -> None:
        method = getattr(message, "method", None) or getattr(getattr(message, "root", None), "method", None)
        if method == "notifications/resources/updated":
            await told.put(method)

    async with Client(url, mode=mode, message_handler=heard) as client:
        await works(client)
        uri = f"stead://counter/followed-{mode}"
        if mode == "legacy":
            await client.subscribe_resource(uri)
            increment(node, f"followed-{mode}")
            await asyncio.wait_for(told.get(), 20)
        else:
            async with client.listen(resource_subscriptions=[uri]) as events:
                increment(node, f"followed-{mode}")
                event = await asyncio.wait_for(anext(aiter(events)), 20)
                assert uri in str(event), event
        print("kill", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await works(client)
        if mode == "legacy":
            while not told.empty():
                told.get_nowait()
            increment(node, f"followed-{mode}")
            await asyncio.wait_for(told.get(), 20)
    print("done", flush=True)


asyncio.run(main(*sys.argv[1:4]))
