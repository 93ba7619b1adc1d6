defmodule Stead.Test.ChannelProcess do
  @moduledoc """
  A process that runs a channel's callbacks, as Phoenix's does.

  The test is its client: it is sent `{:joined, reply}` and `{:pushed, event, payload}`.
  """

  use GenServer

  def join(channel, topic) do
    {:ok, pid} = GenServer.start(__MODULE__, {channel, topic, self()})
    ExUnit.Callbacks.on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  def ask(pid, event, payload), do: GenServer.call(pid, {:ask, event, payload}, 20_000)

  def assigns(pid), do: GenServer.call(pid, :assigns)

  @impl true
  def init({channel, topic, client}) do
    {:ok, {channel, %Phoenix.Socket{topic: topic, transport_pid: client}}, {:continue, {:join, topic}}}
  end

  @impl true
  def handle_continue({:join, topic}, {channel, socket}) do
    case channel.join(topic, %{}, socket) do
      {:ok, reply, joined} ->
        send(socket.transport_pid, {:joined, {:ok, reply}})
        {:noreply, {channel, joined}}

      {:error, reply} ->
        send(socket.transport_pid, {:joined, {:error, reply}})
        {:stop, :normal, {channel, socket}}
    end
  end

  @impl true
  def handle_call({:ask, event, payload}, _from, {channel, socket}) do
    {:reply, reply, socket} = channel.handle_in(event, payload, socket)
    {:reply, reply, {channel, socket}}
  end

  def handle_call(:assigns, _from, {channel, socket}), do: {:reply, socket.assigns, {channel, socket}}

  @impl true
  def handle_info(message, {channel, socket}) do
    case channel.handle_info(message, socket) do
      {:noreply, socket} -> {:noreply, {channel, socket}}
      {:stop, reason, socket} -> {:stop, reason, {channel, socket}}
    end
  end
end
