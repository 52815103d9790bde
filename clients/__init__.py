"""What devices connect with: the JavaScript client and its build, and snippets for apps and sticks."""
