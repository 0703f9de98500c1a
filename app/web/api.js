// The public API, by the dashboard's same-origin session cookie. Errors carry the problem's own words.

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
  }
}

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-Requested-With"] = "smartcharge-dashboard";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (reply.status === 204) return null;
  const content = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new ApiError(reply.status, content);
  return content;
}

const id = encodeURIComponent;

export const api = {
  login: (key) => call("POST", "/session", { key }),
  logout: () => call("DELETE", "/session"),
  sites: () => call("GET", "/v1/sites"),
  now: (site) => call("GET", `/v1/sites/${id(site)}/now`),
  actuators: (site) => call("GET", `/v1/sites/${id(site)}/actuators`),
  alarms: (site) => call("GET", `/v1/sites/${id(site)}/alarms?open=true`),
  wishes: (site) => call("GET", `/v1/sites/${id(site)}/sessions`),
  stations: (site) => call("GET", `/v1/charging-stations?site_id=${id(site)}`),
  transactions: (site) => call("GET", `/v1/transactions?site_id=${id(site)}&running=true`),
  certificate: (site) => call("GET", `/v1/sites/${id(site)}/certificate`),
  plan: (site) => call("POST", `/v1/sites/${id(site)}/schedules`, { dispatch: true }),
  // null: the site has no plan yet, which is no error and is not asked for as one
  latestPlan: async (site) => {
    const [latest] = await call("GET", `/v1/sites/${id(site)}/schedules?limit=1`);
    return latest === undefined ? null : call("GET", `/v1/schedules/${latest.id}`);
  },
  why: (plan, evse, at) => call("GET", `/v1/schedules/${id(plan)}/why?evse=${id(evse)}&at=${id(at)}`),
  events: (site) => new EventSource(`/v1/sites/${id(site)}/events`),
};
