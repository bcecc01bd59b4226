#include "holdfast/http/response.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/http/request.hpp"

namespace holdfast::http {
namespace {

/// A value that can't end its header, or the head: no response splitting, whatever was put in.
std::string one_line(std::string_view value) {
  std::string result(value);
  for (char& c : result) {
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
  return result;
}

bool lists(std::string_view list, std::string_view token) noexcept {
  while (!list.empty()) {
    std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (equal_ignoring_case(item, token)) return true;
  }
  return false;
}

}  // namespace

Response Response::of(int status, std::string_view content_type, std::string body) {
  Response response(status);
  response.headers.push_back({"Content-Type", std::string(content_type)});
  response.body = std::move(body);
  return response;
}

Response Response::json(int status, std::string body) {
  return of(status, "application/json", std::move(body));
}

Response Response::text(int status, std::string body) {
  return of(status, "text/plain; charset=utf-8", std::move(body));
}

Response Response::html(int status, std::string body) {
  return of(status, "text/html; charset=utf-8", std::move(body));
}

Response Response::streamed(int status, std::string_view content_type, Stream stream) {
  Response response = of(status, content_type, {});
  response.stream = std::move(stream);
  return response;
}

Response Response::dropped() {
  Response response;
  response.drop_connection = true;
  return response;
}

Response& Response::set(std::string_view name, std::string_view value) & {
  const auto same = [&](const ResponseHeader& header) { return equal_ignoring_case(header.name, name); };
  const auto first = std::find_if(headers.begin(), headers.end(), same);
  if (first == headers.end()) return add(name, value);
  first->value = one_line(value);
  headers.erase(std::remove_if(first + 1, headers.end(), same), headers.end());
  return *this;
}

Response&& Response::set(std::string_view name, std::string_view value) && {
  set(name, value);
  return std::move(*this);
}

Response& Response::add(std::string_view name, std::string_view value) & {
  headers.push_back({one_line(name), one_line(value)});
  return *this;
}

Response& Response::add_token(std::string_view name, std::string_view token) & {
  for (ResponseHeader& header : headers) {
    if (!equal_ignoring_case(header.name, name)) continue;
    if (lists(header.value, token)) return *this;
    header.value.append(", ").append(token);
    return *this;
  }
  return add(name, token);
}

void Response::remove(std::string_view name) {
  std::erase_if(headers,
                [&](const ResponseHeader& header) { return equal_ignoring_case(header.name, name); });
}

std::string_view Response::header(std::string_view name) const noexcept {
  for (const ResponseHeader& header : headers) {
    if (equal_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

bool Response::has_header(std::string_view name) const noexcept {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const ResponseHeader& header) { return equal_ignoring_case(header.name, name); });
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Unknown";
  }
}

}  // namespace holdfast::http
