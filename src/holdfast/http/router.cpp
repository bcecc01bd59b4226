#include "holdfast/http/router.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "holdfast/http/refusal.hpp"

namespace holdfast::http {
namespace {

constexpr std::size_t kMethods = static_cast<std::size_t>(Method::options) + 1;
constexpr std::size_t kMaxSegments = 32;  // of a pattern, and so of a path that can match

using ByMethod = std::array<const Route*, kMethods>;

struct Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::string parameter_name;
  std::string rest_name;      // "{name...}": takes this and all later segments
  std::string first_pattern;  // the route that named the parameter or the rest, for messages
  ByMethod routes{};
  ByMethod rest_routes{};
};

struct Segments {
  std::array<std::string_view, kMaxSegments> at;
  std::size_t count = 0;
};

/// False where there are more than kMaxSegments. "/" is one empty segment.
bool split(std::string_view path, Segments& out) noexcept {
  out.count = 0;
  if (path.empty() || path.front() != '/') return false;
  do {
    path.remove_prefix(1);
    if (out.count == kMaxSegments) return false;
    const std::string_view segment = path.substr(0, path.find('/'));
    out.at[out.count++] = segment;
    path.remove_prefix(segment.size());
  } while (!path.empty());
  return true;
}

[[noreturn]] void refuse_pattern(std::string_view pattern, std::string_view why) {
  throw Error(ErrorCode::invalid_argument,
              std::string("Route '").append(pattern).append("' ").append(why).append("."))
      .reason("bad_route");
}

bool is_name(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

const Route* of_method(const ByMethod& routes, Method method) noexcept {
  if (method == Method::other) return nullptr;
  const Route* const route = routes[static_cast<std::size_t>(method)];
  if (route == nullptr && method == Method::head) return routes[static_cast<std::size_t>(Method::get)];
  return route;
}

/// A walk down the tree along one path; a literal is tried before the parameter, so a path may be
/// tried more than once, but never more often than the patterns fork.
struct Walk {
  const Segments& segments;
  std::string_view raw_path;
  std::vector<PathParameter> parameters;

  template <typename Accept>
  bool visit(const Node& node, std::size_t depth, Accept&& accept) {
    if (depth == segments.count) return accept(node.routes, *this);
    const std::string_view segment = segments.at[depth];
    if (const auto found = node.literals.find(segment);
        found != node.literals.end() && visit(*found->second, depth + 1, accept)) {
      return true;
    }
    if (node.parameter && !segment.empty()) {
      parameters.push_back({node.parameter_name, segment});
      if (visit(*node.parameter, depth + 1, accept)) return true;
      parameters.pop_back();
    }
    if (node.rest_name.empty()) return false;
    const auto offset = static_cast<std::size_t>(segment.data() - raw_path.data());
    parameters.push_back({node.rest_name, raw_path.substr(offset)});
    if (accept(node.rest_routes, *this)) return true;
    parameters.pop_back();
    return false;
  }
};

void name_place(Node& node, std::string& place, std::string_view name, const std::string& pattern) {
  if (place.empty()) {
    place = name;
    node.first_pattern = pattern;
  } else if (place != name) {
    refuse_pattern(
        pattern, "names {" + std::string(name) + "} what '" + node.first_pattern + "' names {" + place + "}");
  }
}

/// The slot of the tree in which a route of `pattern` goes.
ByMethod& place_of(Node& root, const std::string& pattern) {
  Segments segments;
  if (!split(pattern, segments)) refuse_pattern(pattern, "must begin with '/' and have at most 32 segments");
  Node* node = &root;
  for (std::size_t i = 0; i < segments.count; ++i) {
    std::string_view segment = segments.at[i];
    if (segment.empty() && segments.count > 1) refuse_pattern(pattern, "has an empty segment");
    if (segment.find_first_of("{}") == std::string_view::npos) {
      auto& child = node->literals[std::string(segment)];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
      continue;
    }
    if (segment.size() < 3 || segment.front() != '{' || segment.back() != '}') {
      refuse_pattern(pattern, "must have a parameter alone in its segment: '/{name}/'");
    }
    segment = segment.substr(1, segment.size() - 2);
    const bool rest = segment.ends_with("...");
    if (rest) segment.remove_suffix(3);
    if (!is_name(segment)) refuse_pattern(pattern, "has a parameter name that isn't letters, digits and '_'");
    if (rest) {
      if (i + 1 != segments.count) refuse_pattern(pattern, "has segments after '{name...}'");
      name_place(*node, node->rest_name, segment, pattern);
      return node->rest_routes;
    }
    name_place(*node, node->parameter_name, segment, pattern);
    if (!node->parameter) node->parameter = std::make_unique<Node>();
    node = node->parameter.get();
  }
  return node->routes;
}

Handler around(Middleware middleware, Handler inner) {
  return [middleware = std::move(middleware), inner = std::move(inner)](
             const Context& ctx, Request& request) { return middleware(ctx, request, inner); };
}

Handler chain_of(const std::vector<Middleware>& middlewares, Handler handler) {
  for (auto it = middlewares.rbegin(); it != middlewares.rend(); ++it)
    handler = around(*it, std::move(handler));
  return handler;
}

std::string default_name(Method method, std::string_view pattern) {
  std::string name;
  for (const char c : to_string(method)) name.push_back(static_cast<char>(c | 0x20));
  bool upper = true;
  for (const char c : pattern) {
    if (!is_name({&c, 1})) {
      upper = true;
      continue;
    }
    name.push_back(upper && c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c);
    upper = false;
  }
  return name;
}

}  // namespace

struct Router::State {
  std::vector<Middleware> middlewares;
  std::vector<std::unique_ptr<Route>> routes;
  Node root;
  Handler fallback;  // the global middlewares around 404, 405, OPTIONS and refusals
  bool sealed = false;

  template <typename Accept>
  bool walk(std::string_view raw_path, Accept&& accept) const {
    Segments segments;
    if (!split(raw_path, segments)) return false;
    Walk walk{segments, raw_path, {}};
    return walk.visit(root, 0, accept);
  }

  std::string allowed(std::string_view raw_path) const;
};

Router::Router() : state_(std::make_unique<State>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::use(Middleware middleware) {
  if (state_->sealed) throw Error(ErrorCode::internal, "A middleware was added to a router that is in use.");
  state_->middlewares.push_back(std::move(middleware));
}

const Route& Router::add(Method method, std::string pattern, Handler handler, RouteInfo info,
                         std::vector<Middleware> middlewares) {
  if (state_->sealed) refuse_pattern(pattern, "was added to a router that is in use");
  if (method == Method::other) refuse_pattern(pattern, "has a method that isn't supported");
  const Route*& place = place_of(state_->root, pattern)[static_cast<std::size_t>(method)];
  if (place != nullptr) {
    refuse_pattern(pattern,
                   "is taken for " + std::string(to_string(method)) + " by '" + place->pattern + "'");
  }
  if (info.name.empty()) info.name = default_name(method, pattern);
  for (const auto& other : state_->routes) {
    if (other->info.name == info.name) {
      refuse_pattern(pattern, "has the name '" + info.name + "', which '" + other->pattern + "' has");
    }
  }
  state_->routes.push_back(std::make_unique<Route>(
      Route{method, std::move(pattern), std::move(info), std::move(middlewares), std::move(handler), {}}));
  place = state_->routes.back().get();
  return *place;
}

const Route& Router::get(std::string pattern, Handler handler, RouteInfo info,
                         std::vector<Middleware> middlewares) {
  return add(Method::get, std::move(pattern), std::move(handler), std::move(info), std::move(middlewares));
}
const Route& Router::post(std::string pattern, Handler handler, RouteInfo info,
                          std::vector<Middleware> middlewares) {
  return add(Method::post, std::move(pattern), std::move(handler), std::move(info), std::move(middlewares));
}
const Route& Router::put(std::string pattern, Handler handler, RouteInfo info,
                         std::vector<Middleware> middlewares) {
  return add(Method::put, std::move(pattern), std::move(handler), std::move(info), std::move(middlewares));
}
const Route& Router::patch(std::string pattern, Handler handler, RouteInfo info,
                           std::vector<Middleware> middlewares) {
  return add(Method::patch, std::move(pattern), std::move(handler), std::move(info), std::move(middlewares));
}
const Route& Router::remove(std::string pattern, Handler handler, RouteInfo info,
                            std::vector<Middleware> middlewares) {
  return add(Method::delete_, std::move(pattern), std::move(handler), std::move(info),
             std::move(middlewares));
}

const std::vector<std::unique_ptr<Route>>& Router::routes() const noexcept { return state_->routes; }

void Router::seal() {
  if (state_->sealed) return;
  state_->sealed = true;
  for (const auto& route : state_->routes) {
    route->chain = chain_of(state_->middlewares, chain_of(route->middlewares, route->handler));
  }
  const State& state = *state_;  // stays where it is when the Router moves
  state_->fallback = chain_of(state_->middlewares, [&state](const Context&, Request& request) -> Response {
    if (request.refusal != nullptr) throw *request.refusal;
    if (request.method == Method::options && request.raw_path == "*")
      return Response(204);  // "are you there?"
    const std::string allowed = state.allowed(request.raw_path);
    if (allowed.empty()) {
      throw Error(ErrorCode::not_found, "There is nothing at this path.").reason("no_such_route");
    }
    if (request.method == Method::options) return Response(204).set("Allow", allowed);
    return refusal_response(405, "method_not_allowed", "This path takes " + allowed + " only.")
        .set("Allow", allowed);
  });
}

bool Router::match(Request& request) const {
  return state_->walk(request.raw_path, [&](const ByMethod& routes, Walk& walk) {
    const Route* const route = of_method(routes, request.method);
    if (route == nullptr) return false;
    request.route = route;
    request.path_parameters = std::move(walk.parameters);
    for (PathParameter& parameter : request.path_parameters)
      parameter.value = request.decoded(parameter.value);
    return true;
  });
}

Response Router::handle(const Context& ctx, Request& request) const {
  if (request.route == nullptr) match(request);
  return request.route == nullptr ? state_->fallback(ctx, request) : request.route->chain(ctx, request);
}

Response Router::refuse(const Context& ctx, Request& request, const Error& error) const {
  request.refusal = &error;
  return state_->fallback(ctx, request);
}

std::string Router::allowed_methods(std::string_view raw_path) const { return state_->allowed(raw_path); }

std::string Router::State::allowed(std::string_view raw_path) const {
  std::array<bool, kMethods> allowed{};
  const auto collect = [&](const ByMethod& routes, Walk&) {
    for (std::size_t i = 0; i < kMethods; ++i) allowed[i] = allowed[i] || routes[i] != nullptr;
    return false;
  };
  walk(raw_path, collect);
  if (std::none_of(allowed.begin(), allowed.end(), [](bool is) { return is; })) return {};
  if (allowed[static_cast<std::size_t>(Method::get)]) allowed[static_cast<std::size_t>(Method::head)] = true;
  allowed[static_cast<std::size_t>(Method::options)] = true;
  std::string list;
  for (std::size_t i = 0; i < kMethods; ++i) {
    if (!allowed[i]) continue;
    if (!list.empty()) list.append(", ");
    list.append(to_string(static_cast<Method>(i)));
  }
  return list;
}

}  // namespace holdfast::http
