// A viewer: a page with a player, and everything that the page requests.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

import { blankPage } from "./chromium.mjs";
import { setting } from "./service.mjs";

/** The origin of pages that `gateway.cors_origins` lists, and one that it does not list. */
export const origins = {
  listed: setting("PAGES_URL"),
  other: setting("PAGES_URL").replace("127.0.0.1", "localhost"),
};
const service = setting("FFAPI_URL");
/** How long a condition may take, and the interval between two checks, in milliseconds. */
const LIMIT = 60_000;
const INTERVAL = 50;

export class Viewer {
  #requests = [];
  #broken = [];

  /** Opens the page, without a player yet. */
  static async open(test, origin = origins.listed) {
    const viewer = new Viewer();
    viewer.page = await blankPage(test);
    viewer.page.on("request", (request) => viewer.#requests.push(request));
    viewer.page.on("pageerror", (error) => viewer.#broken.push(String(error)));
    await viewer.page.goto(`${origin}/pages/player.html`, { timeout: LIMIT });
    await viewer.page.waitForFunction(() => globalThis.ffapi, undefined, { timeout: LIMIT });
    return viewer;
  }

  /** Plays `sources`, whose URLs are absolute, in this player. */
  async play(player, sources) {
    await this.page.evaluate(([name, given]) => globalThis.ffapi.open(name, given), [player, sources]);
  }

  async state() {
    return await this.page.evaluate(() => globalThis.ffapi.state());
  }

  async seek(time) {
    await this.page.evaluate((to) => globalThis.ffapi.seek(to), time);
  }

  /** Calls a method of the player's module. */
  async call(method, value) {
    await this.page.evaluate(([name, given]) => globalThis.ffapi.call(name, given), [method, value]);
  }

  /** The state as soon as it is as wanted; fails at an error of the player, unless errors are wanted. */
  async until(what, wanted, { errors = false } = {}) {
    const end = Date.now() + LIMIT;
    for (;;) {
      const state = await this.state();
      if (!errors) assert.deepEqual(state.errors, [], `${what}: ${JSON.stringify(state)}`);
      if (wanted(state)) return state;
      if (Date.now() > end || state.ended) assert.fail(`${what}: ${JSON.stringify(state)}\n${await this.#report()}`);
      await pause(INTERVAL);
    }
  }

  /** The URLs that were requested from the service; each with a token only, and answered. */
  async requests(token) {
    assert.deepEqual(this.#broken, []);
    assert.deepEqual(await this.page.context().cookies(), []);
    const site = new URL(this.page.url()).origin;
    const others = this.#requests.filter((request) => !request.url().startsWith(`${site}/`));
    // Content that a page made itself.
    const sent = others.filter((request) => !/^(blob|data):/.test(request.url()));
    for (const request of sent) {
      assert.ok(request.url().startsWith(`${service}/api/v1/t/${token}/outputs/`), request.url());
      const headers = await request.allHeaders();
      for (const name of ["cookie", "authorization", "x-api-key"]) assert.equal(headers[name], undefined, name);
    }
    const isAnswered = ([, result]) => [200, 206, "net::ERR_ABORTED"].includes(result);
    assert.ok((await this.#log()).every(isAnswered), await this.#report());
    return sent.map((request) => request.url());
  }

  async #report() {
    return (await this.#log()).map(([url, result]) => `${result} ${url.split("/outputs/").at(-1)}`).join("\n");
  }

  /** What came of each request to the service; players abort some when they are told to do something else. */
  async #log() {
    const sent = this.#requests.filter((request) => request.url().startsWith(service));
    const result = async (request) => request.failure()?.errorText ?? (await request.response())?.status() ?? "none";
    return await Promise.all(sent.map(async (request) => [request.url(), await result(request)]));
  }
}
